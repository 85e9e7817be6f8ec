"""A server that never comes to an end: each of its bytes comes in time, and nothing else does."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE_SECONDS = 0.02


class Dribbler(socketserver.ThreadingTCPServer):
    """Says ``said`` to each client and then ``again`` for ever, a byte after the other."""

    daemon_threads = True

    def __init__(self, said: bytes, again: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.said, self.again = said, again
        self.port: int = self.server_address[1]
        self.asked = 0
        """The clients that have come."""
        self.away = threading.Event()


class _Handler(socketserver.BaseRequestHandler):
    server: Dribbler

    def handle(self) -> None:
        """Dribble until the client is gone."""
        self.server.asked += 1
        told = self.server.said
        while not self.server.away.is_set():
            try:
                for byte in told:
                    self.request.sendall(bytes([byte]))
                    self.server.away.wait(PAUSE_SECONDS)
            except OSError:
                return
            told = self.server.again


@contextmanager
def dribbling(said: bytes, again: bytes) -> Iterator[Dribbler]:
    """One that serves for as long."""
    with Dribbler(said, again) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.away.set()
            server.shutdown()
            thread.join()
