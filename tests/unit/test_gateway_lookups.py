"""Look-ups of accounts go together, and fail for everybody who asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from psycopg import AsyncConnection

from gateway import lookups as module
from gateway.errors import UnavailableError
from gateway.lookups import Lookups


class Database:
    """Answers when it is told to; knows everybody whose name begins with a k."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.calls = asyncio.Semaphore(0)
        self._answers: list[asyncio.Future[None]] = []

    async def run(self, query: Any, seconds: float) -> Any:
        """Give the query a connection that only notes what it is asked for."""
        self._answers.append(asyncio.get_running_loop().create_future())
        number = len(self._answers) - 1
        result = await query(Connection(self))
        self.calls.release()
        await self._answers[number]
        return result

    def answer(self, number: int, error: Exception | None = None) -> None:
        """Let this call end."""
        if error:
            self._answers[number].set_exception(error)
        else:
            self._answers[number].set_result(None)


class Connection(AsyncConnection):
    """No connection at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __del__(self) -> None:
        """Nothing to close."""

    async def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        """Note who is asked for."""
        (users,) = params
        self._database.asked.append(users)
        self._found = [(user, f"hash of {user}") for user in users if user.startswith("k")]
        return self

    async def fetchall(self) -> list[tuple[str, str]]:
        """The rows."""
        return self._found


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(lookups: Lookups, *users: str, seconds: float = 60.0) -> list[asyncio.Future[str | None]]:
    """Ask for these at the same moment."""
    return [asyncio.ensure_future(lookups.password_hash(user, seconds)) for user in users]


def test_those_who_come_meanwhile_go_together() -> None:
    """The first one goes at once, all further ones with the next call, each account once."""

    async def scenario() -> None:
        database = Database()
        lookups = Lookups(database, 60.0)
        first = ask(lookups, "kim")
        await settled()
        rest = ask(lookups, "kai", "nobody", "kai")
        await settled()
        assert database.asked == [["kim"]]
        database.answer(0)
        await settled()
        assert database.asked == [["kim"], ["kai", "nobody"]]
        database.answer(1)
        assert await asyncio.gather(*first, *rest) == [
            "hash of kim",
            "hash of kai",
            None,
            "hash of kai",
        ]

    asyncio.run(scenario())


def test_a_failure_is_everybodys_and_not_the_nexts() -> None:
    """Who asked in a call that fails hears that; the next call is made all the same."""

    async def scenario() -> None:
        database = Database()
        lookups = Lookups(database, 60.0)
        ask(lookups, "kim")
        await settled()
        failing = ask(lookups, "kai", "kay")
        await settled()
        database.answer(0)
        await settled()
        later = ask(lookups, "kit")
        await settled()
        database.answer(1, UnavailableError("Postgres is not available"))
        for asked in failing:
            with pytest.raises(UnavailableError):
                await asked
        await settled()
        database.answer(2)
        assert await later[0] == "hash of kit"

    asyncio.run(scenario())


def test_who_waits_too_long_gives_up_alone() -> None:
    """A call that is late is unavailable for whoever has no more time, and serves the others."""

    async def scenario() -> None:
        database = Database()
        lookups = Lookups(database, 60.0)
        ask(lookups, "kim")
        await settled()
        hasty, patient = *ask(lookups, "kai", seconds=0.001), *ask(lookups, "kay")
        with pytest.raises(UnavailableError):
            await hasty
        database.answer(0)
        await settled()
        database.answer(1)
        assert await patient == "hash of kay"

    asyncio.run(scenario())


def test_a_call_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the next ones go on another connection."""
    monkeypatch.setattr(module, "LATE", 0.0)

    async def scenario() -> None:
        database = Database()
        lookups = Lookups(database, 60.0)
        ask(lookups, "kim")
        await settled()
        next_ = ask(lookups, "kai")
        await settled()
        database.answer(1)
        assert await next_[0] == "hash of kai"
        database.answer(0)

    asyncio.run(scenario())


def test_a_call_that_hangs_holds_up_nobody_who_came_before_it_was_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who wait for it need nobody else to come for theirs to be made."""
    monkeypatch.setattr(module, "LATE", 0.02)

    async def scenario() -> None:
        database = Database()
        lookups = Lookups(database, 60.0)
        _, next_ = *ask(lookups, "kim"), *ask(lookups, "kai")
        for _ in range(2):
            await database.calls.acquire()
        database.answer(1)
        assert await next_ == "hash of kai"
        database.answer(0)

    asyncio.run(scenario())
