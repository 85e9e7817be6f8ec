"""When an attack begins and ends, as a gateway notes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from events.messages import Outcome
from gateway import attack_watch
from gateway.attack_watch import CALM_SECONDS, AttackWatch
from gateway.errors import UnavailableError
from gateway.limits.source_view import SourceView
from gateway.postgres.database import Query, T


class Cursor:
    """The answer that it was new."""

    async def fetchone(self) -> tuple[bool]:
        """That."""
        return (True,)


class Notes:
    """A database that has what was noted, after it has failed in these ways."""

    def __init__(self, *errors: Exception) -> None:
        self.noted: list[tuple[bool, dict[str, Any]]] = []
        self.errors = list(errors)
        self.asked = asyncio.Event()

    async def run(self, query: Query[T], seconds: float) -> T:
        """Run it with this as its connection."""
        if self.errors:
            raise self.errors.pop(0)
        return await query(self)  # type: ignore[arg-type]

    async def execute(self, _: str, values: tuple[bool, Any]) -> Cursor:
        """Take what is noted."""
        self.noted.append((values[0], values[1].obj))
        self.asked.set()
        return Cursor()


class Watched:
    """A view in which two accounts may fail, a watch, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.view = SourceView(10, 2)
        self.view.live = True
        self.notes = Notes()
        self.watch = AttackWatch(self.view, self.notes, 1.0, lambda: self.now)

    def fail(self, *users: str) -> None:
        """Their logins fail."""
        self.view.read([Outcome("192.0.2.7", user, 1) for user in users], 1)

    def succeed(self, *users: str) -> None:
        """They get in."""
        self.view.read([Outcome("192.0.2.7", user, 0, 0, True) for user in users], 2)

    def look(self, after: float = 0.0) -> list[bool]:
        """Look after so many seconds; what was noted then."""
        self.now += after
        self.notes.noted.clear()
        asyncio.run(self.watch.look())
        return [lasts for lasts, _ in self.notes.noted]


def test_an_attack_begins_once_and_ends_when_it_was_calm_for_a_minute():
    """What is known is noted again each minute only, in case another gateway knew less."""
    watched = Watched()
    assert watched.look() == []
    watched.fail("a", "b", "c")
    assert watched.look(1) == [True]
    assert watched.notes.noted[0][1] == {
        **{"failed_accounts": 3, "succeeded_accounts": 0},
        **{"sources": ["192.0.2.7"], "accounts": ["a", "b", "c"]},
    }
    assert watched.look(1) == []
    assert watched.look(CALM_SECONDS) == [True]
    watched.succeed("a", "b", "c")
    assert watched.look(1) == []
    assert watched.look(CALM_SECONDS - 1) == []
    assert watched.look(1) == [False]
    assert watched.look(1) == []


def test_an_attack_that_goes_on_after_a_pause_is_the_same_one():
    """The minute begins anew."""
    watched = Watched()
    watched.fail("a", "b", "c")
    assert watched.look() == [True]
    watched.succeed("a", "b", "c")
    assert watched.look(1) == []
    watched.fail("d", "e", "f", "g", "h", "i")
    assert watched.look(30) == []
    watched.succeed("d", "e", "f", "g", "h", "i")
    assert watched.look(31) == []
    assert watched.look(59) == []
    assert watched.look(1) == [False]


def test_a_gateway_that_knows_nothing_ends_no_attack():
    """It has just started, or Kafka is away."""
    watched = Watched()
    watched.view.live = False
    assert watched.look() == []
    assert watched.look(10 * CALM_SECONDS) == []
    watched.view.live = True
    assert watched.look() == []
    assert watched.look(CALM_SECONDS) == [False]


@pytest.mark.parametrize("error", [UnavailableError("away"), ValueError("a bug")])
def test_no_error_ends_the_watch(error: Exception, monkeypatch: pytest.MonkeyPatch):
    """What could not be noted is noted with the next look."""
    monkeypatch.setattr(attack_watch, "LOOK_SECONDS", 0)
    watched = Watched()
    watched.notes.errors = [error, error]
    watched.fail("a", "b", "c")

    async def scenario() -> None:
        watched.watch.start()
        await watched.notes.asked.wait()
        await watched.watch.close()

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(scenario(), 30))
    assert bool(logs) != isinstance(error, UnavailableError)
