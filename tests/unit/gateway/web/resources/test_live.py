"""A stream of what goes on now ends with its client's right to see it, and with the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart.testing.connections import TestHTTPConnection as Connection

from gateway.live import LiveFigures
from gateway.operators import Operator, Role
from gateway.web import operator_access
from gateway.web.app import GatewayApp
from gateway.web.examples import ANSWERS
from gateway.web.operator_app import operator_app
from gateway.web.resources import live
from settings import Settings

FIGURES = cast(LiveFigures, ANSWERS[LiveFigures]["a second"])
HEADERS = {"Host": "localhost", "Authorization": "Bearer x", "Accept": "text/event-stream"}


class Database:
    """Runs a query without a connection."""

    async def run(self, query: Callable[[Any], Awaitable[Any]], _seconds: float) -> Any:
        """What it gives."""
        return await query(None)


class Looks:
    """Gives figures when a test lets it."""

    def __init__(self) -> None:
        self.due = asyncio.Event()

    async def next(self) -> LiveFigures:
        """The figures."""
        await self.due.wait()
        return FIGURES


@pytest.fixture(autouse=True)
def valid(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The token is valid until a test takes it away."""
    tokens = {b"x"}

    async def select(_connection: object, _digest: bytes) -> Operator | None:
        return Operator("ana", Role.READ) if tokens else None

    async def there_are_some(_connection: object) -> bool:
        return True

    monkeypatch.setattr(operator_access, "select_operator", select)
    monkeypatch.setattr(operator_access, "has_operators", there_are_some)
    return tokens


def watching(scenario: Callable[[GatewayApp, Looks, Connection], Awaitable[None]]) -> None:
    """Watch, and do what the scenario says meanwhile."""

    async def exchange() -> None:
        looks = Looks()
        settings = Settings(operator_reads="token")
        services = SimpleNamespace(settings=settings, database=Database(), live=looks)
        app = operator_app(cast(Any, services))
        client = app.test_client(use_cookies=False)
        async with client.request("/live", method="GET", headers=HEADERS) as connection:
            await connection.send_complete()
            async with asyncio.timeout(60):
                await scenario(app, looks, cast(Connection, connection))

    asyncio.run(asyncio.wait_for(exchange(), 120))
    assert not live._watchers


def test_an_event_comes_with_each_look_and_none_after_the_process_is_to_end() -> None:
    """Which waits for no look."""

    async def scenario(app: GatewayApp, looks: Looks, connection: Connection) -> None:
        looks.due.set()
        event = await connection.receive()
        assert (event[:6], event[-2:]) == (b"data: ", b"\n\n")
        assert json.loads(event[6:])["verdicts"] == FIGURES.verdicts
        # A proxy passes each on as it comes; nginx would gather some pages of them.
        assert connection.headers["X-Accel-Buffering"] == "no"
        looks.due.clear()
        app.stopping.set()
        await asyncio.wait(app.in_hand)

    watching(scenario)


def test_it_ends_when_the_token_is_worth_nothing_any_more(
    monkeypatch: pytest.MonkeyPatch, valid: set[bytes]
) -> None:
    """At the next look at it."""
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.0)

    async def scenario(app: GatewayApp, looks: Looks, connection: Connection) -> None:
        looks.due.set()
        assert await connection.receive()
        valid.clear()
        await asyncio.wait(app.in_hand)
        assert not app.stopping.is_set()

    watching(scenario)


def test_it_ends_when_its_client_leaves() -> None:
    """While it waits for a look."""

    async def scenario(_app: GatewayApp, _looks: Looks, connection: Connection) -> None:
        await connection.disconnect()

    watching(scenario)


def test_only_so_many_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further one is told to come again."""
    others: set[object] = set(range(live.MOST_WATCHERS))
    monkeypatch.setattr(live, "_watchers", others)

    async def scenario(_app: GatewayApp, _looks: Looks, connection: Connection) -> None:
        assert json.loads(await connection.receive())["code"] == "overloaded"
        assert connection.status_code == 503
        others.clear()

    watching(scenario)
