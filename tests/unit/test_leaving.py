"""Workers that leave go on until they are fenced, or nobody came for too long."""

from __future__ import annotations

from typing import cast

import pytest

from processes import Keeper, Phase
from processes.spec import State
from workers import leaving
from workers.leaving import HANDOVER_SECONDS, Leaving


def name_of(number: int) -> str:
    """As a supervisor would name it."""
    return f"worker {number}"


class FakeKeeper:
    """The states of some workers, and who was removed."""

    def __init__(self) -> None:
        self.states = {name_of(n): State(Phase.READY, 1, 0, 0.0) for n in range(3)}
        self.removed: list[str] = []

    def remove(self, name: str) -> None:
        """Note it."""
        self.removed.append(name)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that leaving workers go by."""
    clock = Clock()
    monkeypatch.setattr(leaving, "time", clock)
    return clock


@pytest.fixture
def keeper() -> FakeKeeper:
    """Three workers that are ready."""
    return FakeKeeper()


@pytest.fixture
def leavers(keeper: FakeKeeper, clock: Clock) -> Leaving:
    """Nobody leaves yet."""
    return Leaving(cast(Keeper, keeper), name_of)


def test_a_fenced_one_is_forgotten_and_the_others_go_on(leavers: Leaving, keeper: FakeKeeper):
    """A successor's claim is what ends a worker."""
    leavers.add(0)
    leavers.add(1)
    keeper.states[name_of(1)] = State(Phase.HELD, None, 0, 0.0)
    leavers.end()
    assert keeper.removed == [name_of(1)]
    assert 0 in leavers


def test_for_whom_nobody_comes_finishes(leavers: Leaving, keeper: FakeKeeper, clock: Clock):
    """There may be no other host any more."""
    leavers.add(0)
    clock.now += HANDOVER_SECONDS - 0.1
    leavers.end()
    assert keeper.removed == []
    clock.now += 0.2
    leavers.end()
    assert keeper.removed == [name_of(0)]
    del keeper.states[name_of(0)]
    leavers.end()
    assert 0 not in leavers


def test_one_that_may_stay_waits_until_it_is_sure(
    leavers: Leaving, keeper: FakeKeeper, clock: Clock
):
    """Brokers may be away for longer than any handover takes."""
    leavers.add(0, sure=False)
    clock.now += 1000
    leavers.end()
    assert keeper.removed == []
    leavers.be_sure()
    clock.now += HANDOVER_SECONDS
    leavers.end()
    assert keeper.removed == [name_of(0)]


def test_one_that_is_taken_back_stays(leavers: Leaving, keeper: FakeKeeper, clock: Clock):
    """Its phase says what is to be done: nothing, a release, or a new one."""
    for number in range(3):
        leavers.add(number)
    keeper.states[name_of(1)] = State(Phase.HELD, None, 0, 0.0)
    keeper.states[name_of(2)] = State(Phase.DRAINING, 1, 0, 0.0)
    assert [leavers.take_back(n) for n in range(4)] == [Phase.READY, Phase.HELD, None, None]
    clock.now += 1000
    leavers.end()
    assert keeper.removed == []
