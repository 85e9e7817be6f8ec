"""A real child process: how it is started, heard, signalled and found dead.

Children are fresh programs in sessions of their own (no fork of Python, nothing
run between fork and exec). A kill takes the whole session's process group, and
so does a death: what a dead child left running in its group is killed too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Protocol

from processes.parent import FD_VARIABLE, Parent
from processes.spec import ProcessSpec

PROBE_STARTING = 0.1  # s between probes until ready: what a start waits in vain at most
PROBE_READY = 1.0  # s between probes once ready: several within any sensible silence timeout
LONGEST_LINE = 65_536  # bytes without a line's end; beyond that a child talks nonsense


class Process(Protocol):
    """What a keeper needs of a running process; tests have their own."""

    @property
    def pid(self) -> int: ...

    @property
    def pipe(self) -> int:
        """The file that is readable once the process has said something."""

    @property
    def death(self) -> int:
        """The file that is readable once the process is dead."""

    def receive(self) -> list[str] | None:
        """The lines it said since the last call; None when it can say nothing any more."""

    def poll(self) -> int | None:
        """Its exit code, minus a signal's number, or None while it lives."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None:
        """Free what is kept of a dead process."""


class Child:
    """A running process and this end of the pipe to it."""

    def __init__(self, spec: ProcessSpec) -> None:
        """Start it, or raise OSError."""
        self._rest = b""
        self._closed = threading.Event()
        with contextlib.ExitStack() as undo:
            self._socket, childs_end = socket.socketpair()
            undo.callback(self._socket.close)
            undo.callback(childs_end.close)
            self._socket.setblocking(False)
            self._popen = _popen(spec, childs_end.fileno())
            self.pid = self._popen.pid
            undo.callback(self._popen.wait)
            undo.callback(self._signal_group)
            self.pipe = self._socket.fileno()
            self._listen_for_death()
            if spec.probe is None:
                childs_end.close()
            else:
                _thread(_probe, spec.probe, childs_end, self._closed)
            undo.pop_all()  # nothing went wrong

    def _listen_for_death(self) -> None:
        self._pidfd: int | None = None
        self._waiter: socket.socket | None = None
        try:
            self.death = self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or an old one
            self._waiter, end = socket.socketpair()
            self.death = self._waiter.fileno()
            _thread(_wait, self._popen, end)

    def tell(self, line: str) -> None:
        """Say a line to a child that listens (`Parent.listen`)."""
        with contextlib.suppress(OSError):  # it is dead, which its keeper finds out by itself
            self._socket.send(line.encode() + b"\n")

    def receive(self) -> list[str] | None:
        try:
            data = self._socket.recv(262_144)  # more than the pipe holds: one call empties it
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in lines]

    def poll(self) -> int | None:
        popen = self._popen
        if popen.returncode is None:
            if self._pidfd is None:
                if popen.poll() is None:
                    return None
            elif os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            # Before it is reaped its number cannot belong to anybody else.
            self._signal_group()
            popen.wait()
        return popen.returncode

    def terminate(self) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self._popen.returncode is None:
            self._signal_group()

    def close(self) -> None:
        self._closed.set()
        self._socket.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        if self._waiter is not None:
            self._waiter.close()

    def _signal_group(self) -> None:
        # macOS says "not permitted" where only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _popen(spec: ProcessSpec, fd: int) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        log = None
        if spec.log is not None:
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(spec.log.open("ab"))
        return subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log and subprocess.STDOUT,
            cwd=spec.cwd,
            env={**os.environ, **spec.env, FD_VARIABLE: str(fd)},
            close_fds=True,
            pass_fds=(fd, *spec.pass_fds),
            start_new_session=True,
        )


def _thread(target: Callable[..., None], *arguments: object) -> None:
    try:
        threading.Thread(target=target, args=arguments, daemon=True).start()
    except RuntimeError as error:  # too many threads: as passing a trouble as too many files
        raise OSError(str(error)) from error


def _wait(popen: subprocess.Popen[bytes], end: socket.socket) -> None:
    with end:
        popen.wait()


def _probe(probe: Callable[[], bool], end: socket.socket, closed: threading.Event) -> None:
    """Say over the pipe what a program that cannot do so itself would say."""
    speaker, ready = Parent(end), False
    with end:
        while not closed.is_set():
            alive = False
            with contextlib.suppress(Exception):  # a probe that fails says: not alive
                alive = probe()
            if alive and ready:
                speaker.beat()
            elif alive:
                speaker.ready()
                ready = True
            closed.wait(PROBE_READY if ready else PROBE_STARTING)
