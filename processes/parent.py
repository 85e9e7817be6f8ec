"""What a kept process sees of its keeper: a pipe to talk to, which closes when it dies."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

FD_VARIABLE = "CERROJO_PARENT_FD"  # the number of the child's end of the pipe
BEAT_INTERVAL = 0.5  # s; ten beats in the usual silence timeout


class Parent:
    """The keeper of this process. No method ever blocks; any thread may call them."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, pipe: socket.socket | None) -> None:
        """Without a pipe, as when the program is run by hand, the methods do nothing."""
        self._pipe = pipe
        self._lock = threading.RLock()  # a signal handler may speak in the middle of a word
        self._unsent = b""
        self._beat_at = float("-inf")

    def ready(self) -> None:
        """This process does its work from now on."""
        self._send("ready")

    def beat(self) -> None:
        """A sign of life, to be given wherever the work goes on; cheap when called often."""
        now = self.clock()
        if now - self._beat_at >= BEAT_INTERVAL:
            self._beat_at = now
            self._send("beat")

    def say(self, key: str, value: str) -> None:
        """Tell the keeper something. The key is one word, the value one line."""
        if key.split() != [key] or "\n" in value:
            raise ValueError(f"say({key!r}, {value!r}): the key is one word, the value one line.")
        self._send(f"say {key} {value}")

    def listen(self) -> str | None:
        """Wait for a line from the keeper; None when it is dead. Only before :meth:`watch`."""
        if self._pipe is None:
            return None
        line = b""
        while not line.endswith(b"\n"):
            byte = self._pipe.recv(1)
            if not byte:
                return None
            line += byte
        return line[:-1].decode()

    def watch(self, grace: float) -> None:
        """When the keeper dies, send this process SIGTERM, and end it `grace` seconds later."""
        if self._pipe is not None:
            thread = threading.Thread(
                target=_watch,
                args=(self._pipe, grace),
                name="parent watch",
                daemon=True,
            )
            thread.start()

    def _send(self, line: str) -> None:
        if self._pipe is None:
            return
        with self._lock:
            if self._unsent:  # the end of a line that went only in part
                self._unsent = self._push(self._unsent)
            if not self._unsent:  # else the pipe is full: what a frozen keeper misses, it misses
                data = line.encode("utf-8", "replace") + b"\n"
                rest = self._push(data)
                self._unsent = b"" if rest == data else rest

    def _push(self, data: bytes) -> bytes:
        assert self._pipe is not None
        try:
            return data[self._pipe.send(data, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return data
        except OSError:  # the keeper is dead; watch() deals with that
            return b""


@functools.cache
def parent() -> Parent:
    """The keeper of this process; always the same object.

    Takes the pipe's number out of the environment, so that what this process
    starts does not take it for its own. Raises RuntimeError where the number is
    no open socket.
    """
    number = os.environ.pop(FD_VARIABLE, None)
    if number is None:
        return Parent(None)
    try:
        pipe = socket.socket(fileno=int(number))
    except (ValueError, OSError):
        raise RuntimeError(
            f"{FD_VARIABLE} is {number!r}, which is no open socket. A keeper sets it for the "
            "processes that it starts; unset it to run this program by hand."
        ) from None
    pipe.set_inheritable(False)
    return Parent(pipe)


def _watch(pipe: socket.socket, grace: float) -> None:
    with contextlib.suppress(OSError):
        while pipe.recv(1024):  # a keeper says no more; this waits for the end
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
