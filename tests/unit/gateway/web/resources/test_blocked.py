"""The blocks of a list are lifted some at a time, each by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart.testing.connections import TestHTTPConnection as Connection

from events.messages import Decision, Verdict
from gateway.errors import UnavailableError
from gateway.operators import Operator, Role
from gateway.web import operator_access
from gateway.web.operator_app import operator_app
from gateway.web.resources import blocked
from settings import Settings
from tests.harness.waiting import until

HEADERS = {"Host": "localhost", "Authorization": "Bearer x", "Content-Type": "application/json"}


class Database:
    """Runs a query without a connection."""

    async def run(self, query: Callable[[Any], Awaitable[Any]], _seconds: float) -> Any:
        """What it gives."""
        return await query(None)


class Log:
    """Decides about an account when a test lets it."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[Decision]] = {}

    async def ask(self, user: str, _due: float, make: Callable[..., Any]) -> Verdict:
        """The verdict, or what the test says instead."""
        made = make(b"i" * 16, 0, 4, 1)
        assert (made.user, made.operator, made.reason) == (user, "ana", "it is over")
        self.asked[user] = asyncio.get_running_loop().create_future()
        return cast(Verdict, SimpleNamespace(decision=await self.asked[user]))

    async def is_asked(self, number: int) -> None:
        """Return when so many were asked for, and no other can be."""

        async def so_many() -> int:
            return len(self.asked)

        await until(so_many, lambda asked: asked >= number)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(self.asked) == number


@pytest.fixture(autouse=True)
def ana(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the operator of every token."""

    async def select(_connection: object, _digest: bytes) -> Operator:
        return Operator("ana", Role.OPERATE)

    monkeypatch.setattr(operator_access, "select_operator", select)


def lifting(users: list[str], scenario: Callable[[Log, Connection], Awaitable[None]]) -> None:
    """Ask for the blocks of these users to be lifted, and do what the scenario says meanwhile."""

    async def exchange() -> None:
        log = Log()
        services = SimpleNamespace(settings=Settings(), database=Database(), log=log)
        client = operator_app(cast(Any, services)).test_client(use_cookies=False)
        async with client.request("/blocked", method="DELETE", headers=HEADERS) as connection:
            await connection.send(json.dumps({"users": users, "reason": "it is over"}).encode())
            await connection.send_complete()
            await scenario(log, cast(Connection, connection))

    asyncio.run(asyncio.wait_for(exchange(), 120))


async def line(connection: Connection) -> Any:
    """The next line of the answer."""
    async with asyncio.timeout(60):
        return json.loads(await connection.receive())


def test_each_has_its_line_when_it_is_done_and_a_failure_loses_no_other() -> None:
    """No more than so many wait for the log at the same time."""
    users = [f"user{n}" for n in range(blocked.LIFTED_AT_ONCE + 1)]

    async def scenario(log: Log, connection: Connection) -> None:
        await log.is_asked(blocked.LIFTED_AT_ONCE)
        log.asked["user3"].set_result(Decision.ACCEPTED)
        assert await line(connection) == {"user": "user3", "unblocked": True}
        assert connection.headers["X-Accel-Buffering"] == "no"
        await log.is_asked(blocked.LIFTED_AT_ONCE + 1)
        log.asked["user1"].set_exception(UnavailableError("Nobody can decide now"))
        assert await line(connection) == {
            **{"user": "user1", "unblocked": False},
            **{"error": "Nobody can decide now", "code": "unavailable"},
        }
        del log.asked["user1"], log.asked["user3"]
        for verdict in log.asked.values():
            verdict.set_result(Decision.REJECTED)
        rest = [await line(connection) for _ in log.asked]
        assert {one["user"]: one["code"] for one in rest} == dict.fromkeys(log.asked, "not_found")

    lifting(users, scenario)
    assert not blocked._lists


def test_what_is_no_name_is_told_as_it_was_sent() -> None:
    """And the others are lifted, by their one form."""

    async def scenario(log: Log, connection: Connection) -> None:
        assert (await line(connection))["user"] == "x"
        await log.is_asked(1)
        log.asked["ana"].set_result(Decision.ACCEPTED)
        assert await line(connection) == {"user": "ANA", "unblocked": True}

    lifting(["x", "ANA"], scenario)


def test_none_begins_after_its_client_has_left() -> None:
    """Those that wait for the log are finished."""

    async def scenario(log: Log, connection: Connection) -> None:
        await log.is_asked(blocked.LIFTED_AT_ONCE)
        await connection.disconnect()
        log.asked["user0"].set_result(Decision.ACCEPTED)
        await log.is_asked(blocked.LIFTED_AT_ONCE)
        for verdict in log.asked.values():
            if not verdict.done():
                verdict.set_result(Decision.ACCEPTED)

    lifting([f"user{n}" for n in range(100)], scenario)
    assert not blocked._lists


def test_only_so_many_lists_are_lifted_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further one is told to come again, and nothing of it is done."""
    monkeypatch.setattr(blocked, "_lists", set(range(blocked.MOST_LISTS)))

    async def scenario(log: Log, connection: Connection) -> None:
        assert (await line(connection))["code"] == "overloaded"
        assert connection.status_code == 503
        assert not log.asked

    lifting(["ana"], scenario)


@pytest.mark.parametrize("query", ["limit=2", "limit=2&details=0", "after=a&limit=2"])
def test_the_names_are_all_found_by_the_links(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Whatever characters a name has."""
    names = ["a&b=c", "ana+1", "ben%20", "niño", "zoe"]

    async def select(_connection: object, last: str, size: int, _now_ms: int) -> list[str]:
        return [name for name in names if name > last][:size]

    monkeypatch.setattr(blocked, "select_blocked", select)
    services = SimpleNamespace(
        settings=Settings(operator_reads="anyone"), database=Database(), log_clock_ms=lambda: 0
    )

    async def pages() -> list[list[str]]:
        client = operator_app(cast(Any, services)).test_client(use_cookies=False)
        found, path = [], f"/blocked?{query}"
        while path:
            answer = await client.get(path, headers=HEADERS)
            found.append(json.loads(await answer.get_data())["users-blocked"])
            link = answer.headers.get("Link", "")
            assert link == "" or link.endswith('>; rel="next"')
            path = link.partition("<")[2].partition(">")[0]
        return found

    assert asyncio.run(pages()) == [names[:2], names[2:4], names[4:]]
