"""A request is asked again where its account is now, when the partitions have become more."""

from __future__ import annotations

import asyncio
import time

import pytest

from events.messages import Attempt, Decision, Heartbeat, Request, Verdict
from events.positions import Position
from events.topics import partition_of
from gateway.asking import ask_until_decided, living_place
from gateway.errors import NoPartitionError, UnavailableError
from gateway.journal import MakeRequest, Place
from gateway.view import Snapshot, View

USER = "anna"
BEFORE, AFTER = Place(0, 1), Place(1, 2)


def view(partitions: int = 1) -> View:
    """A view of so many partitions, two of which live."""
    made = View()
    made.load(Snapshot(partitions, {}, {}))
    hear(made, 0)
    return made


def hear(made: View, partitions: int) -> None:
    """A heartbeat of two partitions, which says how many there are."""
    news = [Heartbeat(n, 1, Position(1, 0), partitions) for n in range(2)]
    made.apply(news, time.monotonic())


class Log:
    """Decides what is asked in the right place; the partitions become more after some requests."""

    def __init__(self, made: View, grows: bool = True, missing: int = 0) -> None:
        self.asked: list[tuple[Place, Request]] = []
        self._view = made
        self._grows = grows
        self._missing = missing

    async def ask(self, user: str, place: Place, seconds: float, request: MakeRequest) -> Verdict:
        """The verdict of a log that has two partitions."""
        if place == AFTER and self._missing:
            self._missing -= 1
            raise NoPartitionError("not yet")
        self.asked.append((place, request(bytes(16), 3, place.partitions)))
        if place == AFTER:
            return Verdict(bytes(16), user, Decision.ACCEPTED, 0)
        if self._grows:
            asyncio.get_running_loop().call_later(0.01, hear, self._view, 2)
        return Verdict(bytes(16), user, Decision.MOVED, 0)


def ask(made: View, log: Log, seconds: float = 30.0) -> Verdict:
    """A login's question."""
    return asyncio.run(
        ask_until_decided(
            made,
            log,
            USER,
            time.monotonic() + seconds,
            lambda id_, reply, partitions: Attempt(id_, reply, USER, True, partitions),
        )
    )


def test_what_was_not_decided_is_asked_where_the_account_is_now() -> None:
    """Once this process has heard of it; each request says by how many it was addressed."""
    assert [partition_of(USER, n) for n in (1, 2)] == [0, 1]
    made = view()
    log = Log(made)
    assert ask(made, log).decision == Decision.ACCEPTED
    assert log.asked == [
        (BEFORE, Attempt(bytes(16), 3, USER, True, 1)),
        (AFTER, Attempt(bytes(16), 3, USER, True, 2)),
    ]


def test_who_never_hears_of_the_new_partitions_gives_up_in_time() -> None:
    """Nothing was granted, and nothing counted."""
    made = view()
    log = Log(made, grows=False)
    with pytest.raises(UnavailableError):
        ask(made, log, seconds=0.1)
    assert [place for place, _ in log.asked] == [BEFORE]


def test_a_producer_that_does_not_know_the_partition_yet_is_waited_for() -> None:
    """The brokers told the workers first."""
    made = view(2)
    log = Log(made, missing=2)
    assert ask(made, log).decision == Decision.ACCEPTED


def test_without_a_living_worker_nothing_is_asked() -> None:
    """Nor before anything is known."""
    with pytest.raises(UnavailableError, match="still loading"):
        living_place(View(), USER)
    silent = View()
    silent.load(Snapshot(2, {}, {}))
    with pytest.raises(UnavailableError, match="Nobody can decide"):
        living_place(silent, USER)
