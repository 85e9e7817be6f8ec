"""The client's connections: kept, taken anew when they break, and given up at the deadline."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cerrojo_client import REFUSE, AsyncCerrojo, Cerrojo, Kind, Verdict

REQUESTS = 20
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"verdict":"accepted"}'


class Server:
    """Answers every request with accepted; breaks the connections that it is told to break."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.breaks = 0
        self.silent = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Break what is left."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        while request := self._read(connection):
            self.requests.append(request)
            if self.breaks:
                self.breaks -= 1
                connection.shutdown(socket.SHUT_RDWR)
                return
            if not self.silent:
                connection.sendall(ANSWER)

    def _read(self, connection: socket.socket) -> bytes:
        """A request with its JSON, which ends it."""
        request = b""
        try:
            while not request.endswith(b"}"):
                if not (data := connection.recv(65_536)):
                    return b""
                request += data
        except OSError:
            return b""
        return request


@pytest.fixture
def server() -> Iterator[Server]:
    """One for each test."""
    started = Server()
    yield started
    started.close()


def blocking(server: Server, deadline: float, times: int) -> list[Verdict]:
    """Some attempts one after the other."""
    with Cerrojo(server.url, "token", deadline=deadline) as client:
        return [client.report("ana", right=True, on_undecided=REFUSE) for _ in range(times)]


def awaited(server: Server, deadline: float, times: int) -> list[Verdict]:
    """The same for asyncio."""

    async def reported() -> list[Verdict]:
        async with AsyncCerrojo(server.url, "token", deadline=deadline) as client:
            return [
                await client.report("ana", right=True, on_undecided=REFUSE) for _ in range(times)
            ]

    return asyncio.run(reported())


Report = Callable[[Server, float, int], list[Verdict]]
EACH = pytest.mark.parametrize("report", [blocking, awaited])


@EACH
def test_a_connection_serves_many_attempts(server: Server, report: Report):
    """A new one for each would cost more than the verdict."""
    verdicts = report(server, 30.0, REQUESTS)
    assert [verdict.kind for verdict in verdicts] == [Kind.ACCEPTED] * REQUESTS
    assert (server.connections, len(server.requests)) == (1, REQUESTS)


@EACH
def test_a_broken_connection_is_taken_anew_for_the_same_attempt(server: Server, report: Report):
    """The same bytes are sent again, key and all."""
    server.breaks = 2
    (verdict,) = report(server, 30.0, 1)
    assert verdict.kind is Kind.ACCEPTED
    assert (server.connections, len(set(server.requests))) == (3, 1)
    assert b"idempotency-key: " in server.requests[0].lower()


@EACH
def test_a_server_that_says_nothing_is_given_up_at_the_deadline(server: Server, report: Report):
    """Not before, and not at some limit of httpx' own."""
    server.silent = True
    began = time.monotonic()
    (verdict,) = report(server, 0.5, 1)
    assert (verdict.kind, verdict.status) == (Kind.UNDECIDED, 503)
    assert 0.5 <= time.monotonic() - began < 5.0  # httpx would give up then


@EACH
def test_nothing_goes_to_a_proxy_of_the_environment(
    server: Server, report: Report, monkeypatch: pytest.MonkeyPatch
):
    """The token would go there, too."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    (verdict,) = report(server, 30.0, 1)
    assert verdict.kind is Kind.ACCEPTED
