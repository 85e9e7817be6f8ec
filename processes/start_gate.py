"""The gate before which a process waits that is started before what it needs is there.

It loads its programs meanwhile. The gate is a pipe, and opens when its other end is closed: all
that wait notice it at once, however many they are and whichever process has started them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from dataclasses import replace

from processes.manager_link import BEAT_SECONDS, manager_link
from processes.spec import ProcessSpec

FD_VARIABLE = "CERROJO_START_GATE_FD"  # the number of the end of the pipe at which to wait
STOPPED = 128 + signal.SIGTERM
"""The exit code of a process that was stopped while it waited."""


class StartGate:
    """A gate that is closed until :meth:`open`."""

    def __init__(self) -> None:
        # This end is never closed: a process that is started again later finds the gate open.
        self._waiting_end, self._opening_end = os.pipe()

    def before(self, spec: ProcessSpec) -> ProcessSpec:
        """The same process, which waits before this gate."""
        return replace(
            spec,
            env={**spec.env, FD_VARIABLE: str(self._waiting_end)},
            pass_fds=(*spec.pass_fds, self._waiting_end),
        )

    def open(self) -> None:
        """Let them begin. To be called once."""
        os.close(self._opening_end)


def pass_fds() -> tuple[int, ...]:
    """What a process that does not wait itself leaves open for those of its own that do."""
    number = os.environ.get(FD_VARIABLE)
    return () if number is None else (int(number),)


def tell_if_closed() -> None:
    """Tell this process's manager that its own processes wait, if they do."""
    if any(not select.select([fd], [], [], 0)[0] for fd in pass_fds()):
        manager_link().wait_on()


def await_start_gate() -> None:
    """Return when the gate before this process is open: at once where there is none.

    For the main thread. Its manager hears meanwhile that it waits, so that the time does not count
    against it. SIGTERM ends it, by way of what it has to clean up.
    """
    number = os.environ.pop(FD_VARIABLE, None)
    if number is None:
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    while not select.select([int(number)], [], [], BEAT_SECONDS)[0]:
        manager_link().wait_on()
    os.close(int(number))
    signal.signal(signal.SIGTERM, before)
