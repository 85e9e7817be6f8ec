"""Accounts are loaded together, and fail for everybody who asked."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from psycopg import AsyncConnection

from gateway.errors import UnavailableError
from gateway.postgres import account_loader as module
from gateway.postgres.account_loader import AccountLoader
from gateway.postgres.accounts import GOOD_SECONDS, Account


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
        result = await query(FakeConnection(self))
        self.calls.release()
        await self._answers[number]
        return result

    def answer(self, number: int, error: Exception | None = None) -> None:
        """Let this call end."""
        if error:
            self._answers[number].set_exception(error)
        else:
            self._answers[number].set_result(None)


class FakeConnection(AsyncConnection):
    """No connection at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __del__(self) -> None:
        """Nothing to close."""

    async def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        """Note who is asked for."""
        (users,) = params
        self._database.asked.append(users)
        self._found = [
            (user, f"hash of {user}", 1, False) for user in users if user.startswith("k")
        ]
        return self

    async def fetchall(self) -> list[tuple[str, str]]:
        """The rows."""
        return self._found


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is late, but where a test says so."""
    monkeypatch.setattr(module, "LATE_SECONDS", 60.0)


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(
    loader: AccountLoader, *users: str, seconds: float = 60.0
) -> list[asyncio.Future[str | None]]:
    """Ask for these at the same moment."""
    return [asyncio.ensure_future(loader.account(user, seconds)) for user in users]


def test_those_who_come_meanwhile_go_together() -> None:
    """The first one goes at once, all further ones with the next call, each account once."""

    async def scenario() -> None:
        database = Database()
        loader = AccountLoader(database, 60.0)
        first = ask(loader, "kim")
        await settled()
        rest = ask(loader, "kai", "nobody", "kai")
        await settled()
        assert database.asked == [["kim"]]
        database.answer(0)
        await settled()
        assert database.asked == [["kim"], ["kai", "nobody"]]
        database.answer(1)
        assert await asyncio.gather(*first, *rest) == [
            Account("hash of kim", 1, False),
            Account("hash of kai", 1, False),
            None,
            Account("hash of kai", 1, False),
        ]

    asyncio.run(scenario())


def test_a_failure_is_everybodys_and_not_the_nexts() -> None:
    """All who asked in a call that fails hear that; the next call is made all the same."""

    async def scenario() -> None:
        database = Database()
        loader = AccountLoader(database, 60.0)
        ask(loader, "kim")
        await settled()
        failing = ask(loader, "kai", "kay")
        await settled()
        database.answer(0)
        await settled()
        later = ask(loader, "kit")
        await settled()
        database.answer(1, UnavailableError("Postgres is not available"))
        for asked in failing:
            with pytest.raises(UnavailableError):
                await asked
        await settled()
        database.answer(2)
        assert await later[0] == Account("hash of kit", 1, False)

    asyncio.run(scenario())


def test_who_waits_too_long_gives_up_alone() -> None:
    """A call that is late is unavailable for whoever has no more time, and serves the others."""

    async def scenario() -> None:
        database = Database()
        loader = AccountLoader(database, 60.0)
        ask(loader, "kim")
        await settled()
        hasty, patient = *ask(loader, "kai", seconds=0.001), *ask(loader, "kay")
        with pytest.raises(UnavailableError):
            await hasty
        database.answer(0)
        await settled()
        database.answer(1)
        assert await patient == Account("hash of kay", 1, False)

    asyncio.run(scenario())


def test_a_call_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the next ones go on another connection."""
    monkeypatch.setattr(module, "LATE_SECONDS", 0.0)

    async def scenario() -> None:
        database = Database()
        loader = AccountLoader(database, 60.0)
        ask(loader, "kim")
        await settled()
        next_ = ask(loader, "kai")
        await settled()
        database.answer(1)
        assert await next_[0] == Account("hash of kai", 1, False)
        database.answer(0)

    asyncio.run(scenario())


def test_a_call_that_hangs_holds_up_nobody_who_came_before_it_was_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who wait for it need nobody else to come for theirs to be made."""
    monkeypatch.setattr(module, "LATE_SECONDS", 0.02)

    async def scenario() -> None:
        database = Database()
        loader = AccountLoader(database, 60.0)
        _, next_ = *ask(loader, "kim"), *ask(loader, "kai")
        for _ in range(2):
            await database.calls.acquire()
        database.answer(1)
        assert await next_ == Account("hash of kai", 1, False)
        database.answer(0)

    asyncio.run(scenario())


def test_who_gives_up_leaves_no_cycle() -> None:
    """In an outage everybody does, and the garbage collector has enough to do."""

    async def scenario() -> weakref.ref[UnavailableError]:
        try:
            await AccountLoader(Database(), 60.0).account("kim", 0.001)
        except UnavailableError as error:
            return weakref.ref(error)
        raise AssertionError("Nobody answered")

    gc.disable()
    try:
        assert asyncio.run(scenario())() is None
    finally:
        gc.enable()


def test_a_recent_account_is_asked_for_anew_where_the_answer_was_on_its_way_for_long() -> None:
    """A change that was answered meanwhile would not be in it."""

    async def scenario() -> None:
        now = 100.0
        database = Database()
        loader = AccountLoader(database, 60.0, clock=lambda: now)
        asking = asyncio.ensure_future(loader.recent_account("kim", 60.0))
        await settled()
        now += GOOD_SECONDS
        database.answer(0)
        await settled()
        assert not asking.done()
        now += 0.9 * GOOD_SECONDS
        database.answer(1)
        assert await asking == Account("hash of kim", 1, disabled=False)
        assert database.asked == [["kim"], ["kim"]]

    asyncio.run(scenario())


def test_a_recent_account_that_never_comes_in_time_is_unavailable() -> None:
    """Where each answer takes long, nobody gets in by one."""

    async def scenario() -> None:
        now = 100.0
        database = Database()
        loader = AccountLoader(database, 60.0, clock=lambda: now)
        asking = asyncio.ensure_future(loader.recent_account("kim", 3 * GOOD_SECONDS))
        for number in range(3):
            await settled()
            now += GOOD_SECONDS
            database.answer(number)
        with pytest.raises(UnavailableError):
            await asking

    asyncio.run(scenario())
