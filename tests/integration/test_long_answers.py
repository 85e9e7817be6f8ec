"""Answers of any length by the real server: bounded in memory, and in how long nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from quart import Response

from gateway.web import app as gateway_app
from gateway.web import server
from gateway.web.app import GatewayApp
from gateway.web.errors import CutOffError
from gateway.web.listener import listen
from settings import Settings
from tests.harness.waiting import PATIENCE_SECONDS, until

PART = b"x" * 100_000
PARTS = 2_000  # 200 MB
END = b"\r\n0\r\n\r\n"
"""Of an answer that is whole."""


class Application(GatewayApp):
    """Answers /long with many parts, and /broken with two and an error."""

    def __init__(self) -> None:
        """Needs neither Kafka nor Postgres."""
        services: Any = SimpleNamespace(settings=Settings())
        super().__init__("test", services)
        self.made = 0
        self.ended = asyncio.Event()
        self.add_url_rule("/long", view_func=self._long)
        self.add_url_rule("/broken", view_func=self._broken)

    async def _long(self) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            try:
                for _ in range(PARTS):
                    self.made += 1
                    yield PART
            finally:
                self.ended.set()

        return Response(parts())

    async def _broken(self) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one\n"
            yield b"two\n"
            raise CutOffError("no more")

        return Response(parts())


Scenario = Callable[[Application, asyncio.StreamReader], Awaitable[None]]


def asking(path: str, scenario: Scenario) -> None:
    """Run it with a client that has asked for this, and has read nothing yet."""

    async def beside() -> None:
        app, stop = Application(), asyncio.Event()
        listener = listen("operator_host", "127.0.0.1", "operator_port", 0)
        port = listener.getsockname()[1]
        # The server closes it.
        serving = asyncio.ensure_future(server.serve(app, listener.detach(), 10, stop, 1.0))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await scenario(app, reader)
        writer.close()
        stop.set()
        await serving

    asyncio.run(asyncio.wait_for(beside(), 2 * PATIENCE_SECONDS))


async def standing_still(app: Application) -> int:
    """How many parts were made when no more are made."""
    before = -1

    async def made() -> bool:
        nonlocal before
        before, now = app.made, before
        await asyncio.sleep(0.2)
        return app.made > 0 and app.made == before == now

    await until(made, bool)
    return app.made


def test_who_does_not_read_is_waited_for_and_then_cut_off(monkeypatch: pytest.MonkeyPatch):
    """No more is made meanwhile than fits into the buffers of the connection."""
    monkeypatch.setattr(gateway_app, "READ_SECONDS", 2.0)

    async def scenario(app: Application, reader: asyncio.StreamReader) -> None:
        assert await standing_still(app) < PARTS // 4
        await app.ended.wait()
        assert app.made < PARTS // 4

    asking("/long", scenario)


def test_who_reads_slowly_gets_all_of_it():
    """Each part has its own time."""

    async def scenario(app: Application, reader: asyncio.StreamReader) -> None:
        await standing_still(app)
        size, last = 0, b""
        while not last.endswith(END):
            part = await reader.read(1 << 20)
            assert part, "it was cut off"
            size, last = size + len(part), last[-10:] + part
        assert size > PARTS * len(PART)

    asking("/long", scenario)


def test_an_answer_that_is_not_whole_does_not_end_as_one():
    """Whoever stores a day knows that it is not all of it."""

    async def scenario(app: Application, reader: asyncio.StreamReader) -> None:
        answer = await reader.read(-1)
        assert b"two\n" in answer
        assert not answer.endswith(END)

    asking("/broken", scenario)
