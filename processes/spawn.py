"""A real child process: starts it, reads its messages, signals it and notices its death.

Children are fresh programs in sessions of their own (no fork of Python, nothing run between fork
and exec). A kill goes to the whole process group of the session. When a child dies, the processes
that it left in its group are killed too.
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

from processes.manager_link import FD_VARIABLE, ManagerLink
from processes.spec import ProcessSpec

PROBE_STARTING_SECONDS = 0.1  # between probes until ready: the most that a start waits needlessly
PROBE_READY_SECONDS = 1.0  # between probes once ready: several within any sensible silence timeout
LONGEST_LINE_BYTES = 65_536  # without a line's end; more is discarded as nonsense


class Process(Protocol):
    """A running process as its manager uses it; tests have their own."""

    @property
    def pid(self) -> int: ...

    @property
    def pipe(self) -> int:
        """The file descriptor that is readable once the process has sent something."""

    @property
    def death(self) -> int:
        """The file descriptor that is readable once the process is dead."""

    def receive(self) -> list[str] | None:
        """The lines sent since the last call; None once the process has closed its end."""

    def poll(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None while it lives."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None:
        """Close the file descriptors of a dead process."""


class Child:
    """A running process and this end of the pipe to it."""

    def __init__(self, spec: ProcessSpec) -> None:
        """Start the process. Raises OSError."""
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
        except (AttributeError, OSError):  # not Linux, or an old kernel
            self._waiter, end = socket.socketpair()
            self.death = self._waiter.fileno()
            _thread(_wait, self._popen, end)

    def tell(self, line: str) -> None:
        """Send a line to a child that listens (`ManagerLink.listen`)."""
        with contextlib.suppress(OSError):  # the child is dead, which its manager notices anyway
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
        if len(self._rest) > LONGEST_LINE_BYTES:
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
            # Before the process is reaped, its pid cannot belong to another one.
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
        # macOS reports "not permitted" if only a zombie is left.
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
    except RuntimeError as error:  # too many threads: as temporary as too many open files
        raise OSError(str(error)) from error


def _wait(popen: subprocess.Popen[bytes], end: socket.socket) -> None:
    with end:
        popen.wait()


def _probe(probe: Callable[[], bool], end: socket.socket, closed: threading.Event) -> None:
    """Report readiness and life over the pipe for a program that cannot do so itself."""
    link, ready = ManagerLink(end), False
    with end:
        while not closed.is_set():
            alive = False
            with contextlib.suppress(Exception):  # a probe that raises counts as not alive
                alive = probe()
            if alive and ready:
                link.beat()
            elif alive:
                link.ready()
                ready = True
            closed.wait(PROBE_READY_SECONDS if ready else PROBE_STARTING_SECONDS)
