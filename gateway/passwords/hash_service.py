"""`python -m gateway.passwords.hash_service LANE`: a process that makes and checks hashes.

One process does so for all login processes of a host: so there are never more hashes at the same
time than processors, which the caches could not hold, and it is known whose turn it is. A second
one, for the background, lets all others go first. It is a process of its own, as a thread that
holds the interpreter's lock must not be the one that is scheduled last.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

import processes
import settings
from gateway.passwords import argon2_bounds
from gateway.passwords.hash_protocol import (
    HASH_BY,
    HASH_LISTENER,
    BadFrameError,
    BadHash,
    BadHashError,
    Check,
    Checked,
    Dropped,
    Frames,
    HashAnswer,
    Lane,
    Made,
    Make,
    NoMemory,
    Withdraw,
    frame,
)
from gateway.passwords.hash_queue import HashQueue
from gateway.passwords.hashing import BUILD, Hasher, NoMemoryError
from processes import core_dumps, logs
from processes import metrics as shared_metrics
from processes.titles import title

logger = structlog.get_logger()

BACKGROUND_NICENESS = 10
"""Of the background's hash process (see nice(1)): where all processors are wanted by others, it
gets a tenth of what each of those gets, and it gets what they leave."""

GRACE_SECONDS = 1.0
"""To finish after the supervisor died."""

LOOK_SECONDS = 0.2
"""Between signs of life, and looks whether this process is to end."""

ACCEPT_SECONDS = 0.1
"""Until the next connection is taken, where there was no file, memory or thread for one."""

SEND_SECONDS = 1
"""A login process that takes no answer for so long is dead or frozen, and is given up."""

_READ_BYTES = 65_536


class Connection:
    """The connection of one login process."""

    def __init__(self, connection: socket.socket, sender: int) -> None:
        self.sender = sender
        self._socket = connection
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)
        )
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        try:
            return self._socket.recv(_READ_BYTES)
        except OSError:
            return b""

    def send(self, answer: HashAnswer) -> None:
        """Send an answer; the connection ends where it cannot be sent."""
        with self._lock:
            try:
                self._socket.sendall(frame(answer))
            except OSError:
                self.give_up()

    def give_up(self) -> None:
        """End it, also for the thread that reads."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it; what is sent later gets nowhere."""
        with self._lock:
            self._socket.close()


@dataclass(frozen=True, eq=False)
class _HashJob:
    request: Check | Make
    connection: Connection

    @property
    def source(self) -> str:
        return self.request.source

    @property
    def account(self) -> str:
        return self.request.account

    @property
    def key(self) -> tuple[int, int]:
        return self.connection.sender, self.request.number


class HashService:
    """Answers all connections of a listener, by a number of threads."""

    def __init__(
        self,
        listener: socket.socket,
        hasher: Hasher,
        threads: int,
    ) -> None:
        self._listener = listener
        self._hasher = hasher
        self._threads = threads
        self._queue: HashQueue[_HashJob] = HashQueue()
        self._connections: set[Connection] = set()

    def start(self) -> None:
        """Begin to answer; returns at once."""
        for number in range(self._threads):
            _thread(f"hash {number + 1}", self._hash)
        _thread("accept", self._accept)

    @property
    def connected(self) -> bool:
        """Whether any login process is connected."""
        return bool(self._connections)

    def _accept(self) -> None:
        sender = 0
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError as error:
                if self._listener.fileno() < 0:
                    return  # it was closed
                self._wait_to_accept(error)
                continue
            sender += 1
            connection = Connection(accepted, sender)
            try:
                self._connections.add(connection)
                _thread(f"login process {sender}", functools.partial(self._listen, connection))
            except RuntimeError as error:
                self._connections.discard(connection)
                connection.close()  # the login process connects again
                self._wait_to_accept(error)

    def _wait_to_accept(self, error: Exception) -> None:
        logger.error("A login process could not connect, and tries again", reason=str(error))
        time.sleep(ACCEPT_SECONDS)

    def _listen(self, connection: Connection) -> None:
        frames = Frames()
        try:
            while data := connection.read():
                for request in frames.requests(data):
                    if isinstance(request, Withdraw):
                        if self._queue.withdraw((connection.sender, request.number)):
                            connection.send(Dropped(request.number))
                    else:
                        self._queue.put(_HashJob(request, connection))
        except BadFrameError as error:
            logger.error("A login process sent what is no request", reason=str(error))
        finally:
            # Nobody waits for these any more, and nothing was revealed by them.
            self._queue.withdraw_all(connection.sender)
            self._connections.discard(connection)
            connection.close()

    def _hash(self) -> None:
        while True:
            job = self._queue.take()
            job.connection.send(self._answer(job.request))

    def _answer(self, request: Check | Make) -> HashAnswer:
        began = time.monotonic()
        if began >= request.until:
            return Dropped(request.number)
        try:
            if isinstance(request, Make):
                made = self._hasher.hash(request.password)
                return Made(request.number, made, time.monotonic() - began)
            right = self._hasher.verify(request.stored, request.password)
            seconds = time.monotonic() - began
            outdated = right and self._hasher.is_outdated(request.stored or "")
            return Checked(request.number, right, outdated, seconds)
        except BadHashError as error:
            return BadHash(request.number, str(error), time.monotonic() - began)
        except NoMemoryError:
            return NoMemory(request.number)
        except Exception as error:  # a thread that ends would be missed for good
            logger.error("A password could not be hashed", error=type(error).__name__)
            return NoMemory(request.number)


def _thread(name: str, target: Callable[[], None]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def _be_nice(niceness: int) -> None:
    """Let other processes go first; to be called before threads are started.

    Linux shares the processors between sessions first where it is set so (autogroup), as Debian
    does: a process's niceness then counts in its own session only, and the session has one, too.
    So there this process can be one that has a processor only while nothing else wants it, without
    being starved: a processor that works for it alone counts as idle for others that wake.
    """
    os.nice(niceness)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> int:
    """Hash until asked to finish, and until no login process needs it any more."""
    lane = Lane(sys.argv[1])
    title(f"gateway hash {lane}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    config = settings.load()
    logs.configure(config.log_level, config.log_format)
    shared_metrics.use_slot(f"hash-{lane}")
    from gateway.passwords.hash_metrics import HASH_BUILD  # metrics look up their slot

    HASH_BUILD.labels(*BUILD).set(1)
    link = processes.manager_link()
    link.watch(GRACE_SECONDS)
    if lane is Lane.BACKGROUND:
        _be_nice(BACKGROUND_NICENESS)
    core_dumps.forbid()  # after what writes to /proc
    try:
        hasher = Hasher(config)
        troubles = argon2_bounds.troubles(config, hasher.seconds, 1 - HASH_BY)
    except settings.SettingsError as error:  # its supervisor tries again: a file may yet be mounted
        logger.error(str(error))
        return 2
    for trouble in troubles if lane is Lane.FOREGROUND else ():  # once for each host
        logger.warning(trouble)
    service = HashService(
        socket.socket(fileno=int(os.environ[HASH_LISTENER])), hasher, config.hash_threads
    )
    service.start()
    link.ready()
    while not stop.is_set() or service.connected:
        time.sleep(LOOK_SECONDS)
        link.beat()
    return 0


if __name__ == "__main__":
    # Nothing is left to tidy up, and the interpreter's own end takes long where the background gets
    # only what others leave: on a busy machine a gateway's stop waited 6 s for it [measured].
    os._exit(main())
