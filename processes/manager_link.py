"""A managed process's connection to its manager: a pipe, which closes when the manager dies."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

FD_VARIABLE = "CERROJO_MANAGER_FD"  # the number of the child's end of the pipe
BEAT_SECONDS = 0.5  # ten beats in the usual silence timeout


class ManagerLink:
    """The connection to the manager. Only :meth:`listen` blocks; any thread may call a method."""

    def __init__(
        self, pipe: socket.socket | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without a pipe, as when the program is run by hand, the methods do nothing."""
        self._pipe = pipe
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may interrupt a message and send one
        self._unsent = b""
        self._beat_at = float("-inf")

    def ready(self) -> None:
        """Report that this process does its work from now on."""
        self._send("ready")

    def wait_on(self) -> None:
        """Report that this process waits before its gate: the time for its start begins anew."""
        self._send("waits")

    def beat(self) -> None:
        """Give a sign of life. To be called wherever the work goes on; cheap when called often."""
        now = self._clock()
        if now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            self._send("beat")

    def say(self, key: str, value: str) -> None:
        """Send the manager a message, which it reports as the event Said.

        Raises ValueError unless the key is one word and the value one line.
        """
        if key.split() != [key] or "\n" in value:
            raise ValueError(f"say({key!r}, {value!r}): the key is one word, the value one line.")
        self._send(f"say {key} {value}")

    def listen(self) -> str | None:
        """Wait for a line from the manager, with signs of life meanwhile; None when it is dead.

        Only before :meth:`watch`.
        """
        if self._pipe is None:
            return None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._pipe], [], [], BEAT_SECONDS)[0]:
                self.beat()
                continue
            byte = self._pipe.recv(1)
            if not byte:
                return None
            line += byte
        return line[:-1].decode()

    def watch(self, grace: float) -> None:
        """When the manager dies, send this process SIGTERM, and end it `grace` seconds later."""
        if self._pipe is not None:
            thread = threading.Thread(
                target=_watch,
                args=(self._pipe, grace),
                name="manager watch",
                daemon=True,
            )
            thread.start()

    def _send(self, line: str) -> None:
        if self._pipe is None:
            return
        with self._lock:
            if self._unsent:  # the rest of a line that was sent only in part
                self._unsent = self._push(self._unsent)
            if not self._unsent:  # else the pipe is full: a frozen manager misses this line
                data = line.encode("utf-8", "replace") + b"\n"
                rest = self._push(data)
                self._unsent = b"" if rest == data else rest

    def _push(self, data: bytes) -> bytes:
        assert self._pipe is not None
        try:
            return data[self._pipe.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return data
        except OSError:  # the manager is dead; watch() deals with that
            return b""


@functools.cache
def manager_link() -> ManagerLink:
    """The connection to this process's manager; always the same object.

    Removes the pipe's number from the environment, so that programs that this process starts do
    not take it for theirs. Raises RuntimeError where the number is no open socket.
    """
    number = os.environ.pop(FD_VARIABLE, None)
    if number is None:
        return ManagerLink(None)
    try:
        pipe = socket.socket(fileno=int(number))
    except (ValueError, OSError):
        raise RuntimeError(
            f"{FD_VARIABLE} is {number!r}, which is no open socket. A manager sets it for the "
            "processes that it starts; unset it to run this program by hand."
        ) from None
    pipe.set_inheritable(False)
    return ManagerLink(pipe)


def _watch(pipe: socket.socket, grace: float) -> None:
    with contextlib.suppress(OSError):
        while pipe.recv(1024):  # a manager sends nothing more; this waits for the end
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
