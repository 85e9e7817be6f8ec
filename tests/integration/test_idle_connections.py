"""The server with more connections than it accepts, of which none asks anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.web import app as gateway_app
from gateway.web import responses, server
from gateway.web.app import GatewayApp
from gateway.web.direct_request import DirectRequest
from gateway.web.listener import listen
from gateway.web.responses import Answer
from loadtest.attacks.attack import Port
from loadtest.attacks.wire import Connection, ask, request
from settings import Settings

IDLE, BUSY = 20, 10
MORE = 50
PATIENCE_SECONDS = 6.0  # less than the server's own for a head
ATTACKER = "127.66.0.1"
DONE = responses.plain(200, b"{}")


class Application(GatewayApp):
    """Answers each request when its body is there, and /wait when it is told to."""

    def __init__(self) -> None:
        """Needs neither Kafka nor Postgres."""
        services: Any = SimpleNamespace(settings=Settings(deadline_seconds=60.0))
        super().__init__("test", services)
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()
        self.direct["POST", "/login"] = self._answer
        self.direct["POST", "/wait"] = self._wait

    async def _answer(self, request: DirectRequest) -> Answer:
        await request.whole_body()
        return DONE

    async def _wait(self, request: DirectRequest) -> Answer:
        await request.whole_body()
        self.arrived.set()
        await self.go_on.wait()
        return DONE


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Application, Port]]:
    """The application, and where it is served."""
    app, stop = Application(), asyncio.Event()
    listener = listen("login_host", "127.0.0.1", "login_port", 0)
    port = Port("127.0.0.1", listener.getsockname()[1])
    # The server closes it.
    task = asyncio.ensure_future(server.serve(app, listener.detach(), BUSY, stop, 1.0))
    try:
        yield app, port
    finally:
        stop.set()
        await task


async def attack(port: Port, beginning: bytes) -> list[Connection]:
    """More connections than the server accepts, each with the same beginning."""
    opened = [await Connection.open(port, ATTACKER) for _ in range(IDLE + BUSY + MORE)]
    for connection in opened:
        await connection.send(beginning)
    return opened


def run(scenario: Callable[[Application, Port], Awaitable[None]]) -> None:
    """Run it beside a server."""

    async def beside() -> None:
        async with serving() as (app, port):
            await scenario(app, port)

    asyncio.run(beside())


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all the time in the world for bodies."""
    monkeypatch.setattr(server, "MOST_IDLE", IDLE)
    monkeypatch.setattr(gateway_app, "BODY_SECONDS", 60.0)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /login HTT", request("POST", "/login", b"{", {"Content-Length": "2"})],
    ids=["nothing", "half a line", "half a body"],
)
def test_who_asks_nothing_keeps_nobody_out(beginning: bytes) -> None:
    """However far its requests have come."""

    async def scenario(app: Application, port: Port) -> None:
        opened = await attack(port, beginning)
        answer = await ask(port, "POST", "/login", b"{}", seconds=PATIENCE_SECONDS)
        assert answer.status == 200
        for connection in opened:
            connection.close(reset=True)

    run(scenario)


def test_a_request_that_has_arrived_is_answered() -> None:
    """Also if its client was there first and is silent since, from the attacker's own address."""

    async def scenario(app: Application, port: Port) -> None:
        async with await Connection.open(port, ATTACKER) as waiting:
            await waiting.send(request("POST", "/wait", b"{}"))
            await app.arrived.wait()
            opened = await attack(port, b"")
            answer = await ask(port, "POST", "/login", b"{}", seconds=PATIENCE_SECONDS)
            assert answer.status == 200
            app.go_on.set()
            assert (await waiting.answer(PATIENCE_SECONDS)).status == 200
            for connection in opened:
                connection.close(reset=True)

    run(scenario)
