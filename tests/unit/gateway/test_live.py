"""What goes on now is looked at once for all that watch, and not without them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from events.messages import Heartbeat
from events.positions import Position
from gateway import live
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot, PartitionFloor
from gateway.errors import UnavailableError
from gateway.live import Counted, Live, Within, figures
from settings import Settings

SECONDS = "cerrojo_login_seconds"
VERDICTS = "cerrojo_verdict_seconds"


def counted(
    at: float,
    wrong: float = 0,
    buckets: tuple[float, ...] = (0, 0, 0),
    ends: dict[int, int] | None = None,
) -> Counted:
    """A look: so many wrong logins, and so many within 0.1 s, 10 s and any time."""
    bounds = (0.1, 10.0, math.inf)
    return Counted(
        at,
        {("cerrojo_logins", "wrong"): wrong, ("cerrojo_service_attempts", "accepted"): 7},
        {
            (name, bound): n
            for name in (SECONDS, VERDICTS)
            for bound, n in zip(bounds, buckets, strict=True)
        },
        ends or {},
    )


def blocklist() -> Blocklist:
    """One of two partitions; the first one's worker is at 17 and was heard at 4.0."""
    found = Blocklist()
    found.load(BlocklistSnapshot(2, {n: PartitionFloor(9, Position(1, 5)) for n in (0, 1)}, {}))
    found.apply([Heartbeat(0, 9, Position(1, 17), 2)], 4.0)
    return found


def test_rates_are_of_the_last_look_and_times_of_all() -> None:
    """By upper bounds of the buckets."""
    oldest, before = counted(1.0, 100, (50, 50, 50)), counted(3.0, 140, (60, 60, 60))
    found = figures(oldest, before, counted(5.0, 150, (100, 149, 150), {0: 20, 1: 5}), blocklist())
    assert found.logins == {"wrong": 5.0}
    assert found.service_attempts == {"accepted": 0.0}
    assert found.verdicts == 45.0
    assert found.login_seconds == found.verdict_seconds == Within(0.1, 10.0)
    first, second = found.partitions
    assert (first.partition, first.epoch, first.next, first.lag, first.heard) == (0, 9, 17, 3, 1.0)
    assert (second.partition, second.next, second.lag, second.heard) == (1, 5, 0, None)


def test_what_nobody_knows_is_none() -> None:
    """No answer has a time, and an end that no broker says no lag."""
    found = figures(counted(1.0), counted(1.0), counted(2.0), blocklist())
    assert found.login_seconds == Within(None, None)
    assert [one.lag for one in found.partitions] == [None, None]


def test_a_counter_that_began_anew_is_no_rate_below_zero() -> None:
    """As of a gateway that was started again."""
    found = figures(counted(1.0, 9), counted(1.0, 9, (9, 9, 9)), counted(2.0), blocklist())
    assert (found.logins, found.verdicts) == ({"wrong": 0.0}, 0.0)


def looking(
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[Live, list[int]], Coroutine[Any, Any, None]],
) -> None:
    """Looks that take no time; the list grows with each."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    looks: list[int] = []

    def look(partitions: int) -> Counted:
        looks.append(partitions)
        if len(looks) > 1000:
            raise ValueError("it looks for ever")
        return counted(float(len(looks)), len(looks))

    async def run() -> None:
        watched = Live(Settings(), blocklist(), look)
        try:
            async with asyncio.timeout(60):
                await scenario(watched, looks)
        finally:
            await watched.close()

    asyncio.run(run())


def test_all_that_watch_get_the_same_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""

    async def scenario(watched: Live, looks: list[int]) -> None:
        found = await asyncio.gather(*(watched.next() for _ in range(50)))
        assert all(one is found[0] for one in found)
        assert set(looks) == {2}
        assert len(looks) <= 2 + live.UNWATCHED_LOOKS  # and not one for each

    looking(monkeypatch, scenario)


def test_nothing_is_looked_at_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends soon after the last one left, and begins again with the next one."""

    async def scenario(watched: Live, looks: list[int]) -> None:
        assert not looks
        await watched.next()
        assert watched._looking
        await watched._looking
        assert len(looks) <= 2 + live.UNWATCHED_LOOKS
        assert (await watched.next()).logins == {"wrong": 1.0}

    looking(monkeypatch, scenario)


def test_a_look_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, and the next one tries again."""

    async def scenario(watched: Live, looks: list[int]) -> None:
        looks.extend(range(1000))
        with pytest.raises(UnavailableError):
            await watched.next()
        looks.clear()
        assert (await watched.next()).verdicts == 0.0

    looking(monkeypatch, scenario)
