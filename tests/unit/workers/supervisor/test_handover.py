"""Workers that leave go on until they are fenced, or nobody came for too long."""

from __future__ import annotations

from typing import cast

import pytest

from processes import Phase, ProcessManager
from processes.spec import State
from workers.supervisor.handover import HANDOVER_SECONDS, Handover


def name_of(number: int) -> str:
    """As a supervisor would name it."""
    return f"worker {number}"


class FakeManager:
    """The states of some workers, and who was removed or is not started again."""

    def __init__(self) -> None:
        self.states = {name_of(n): State(Phase.READY, 1, 0, 0.0) for n in range(3)}
        self.removed: list[str] = []
        self.retired: set[str] = set()

    def retire(self, name: str) -> None:
        """Note it."""
        self.retired.add(name)

    def keep(self, name: str) -> bool:
        """Undo it, where the worker does not end already."""
        goes_on = self.states[name].phase is Phase.READY
        if goes_on:
            self.retired.discard(name)
        return goes_on

    def remove(self, name: str) -> None:
        """Note it."""
        self.removed.append(name)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock that workers go by whose partitions are handed over."""
    return Clock()


@pytest.fixture
def manager() -> FakeManager:
    """Three workers that are ready."""
    return FakeManager()


@pytest.fixture
def workers(manager: FakeManager, clock: Clock) -> Handover:
    """No worker is handed over yet."""
    return Handover(cast(ProcessManager, manager), name_of, clock)


def test_a_fenced_one_is_forgotten_and_the_others_go_on(workers: Handover, manager: FakeManager):
    """A successor's claim is what ends a worker."""
    workers.add(0)
    workers.add(1)
    manager.states[name_of(1)] = State(Phase.HELD, None, 0, 0.0)
    workers.complete()
    assert manager.removed == [name_of(1)]
    assert 0 in workers


def test_for_whom_nobody_comes_finishes(workers: Handover, manager: FakeManager, clock: Clock):
    """There may be no other host any more."""
    workers.add(0)
    clock.now += HANDOVER_SECONDS - 0.1
    workers.complete()
    assert manager.removed == []
    clock.now += 0.2
    workers.complete()
    assert manager.removed == [name_of(0)]
    del manager.states[name_of(0)]
    workers.complete()
    assert 0 not in workers


def test_one_that_may_stay_waits_until_it_is_sure(
    workers: Handover, manager: FakeManager, clock: Clock
):
    """Brokers may be away for longer than any handover takes."""
    workers.add(0, reassigned=False)
    clock.now += 1000
    workers.complete()
    assert (manager.removed, manager.retired) == ([], set())
    workers.confirm()
    assert manager.retired == {name_of(0)}
    clock.now += HANDOVER_SECONDS
    workers.complete()
    assert manager.removed == [name_of(0)]


def test_one_that_ends_is_not_started_again(workers: Handover, manager: FakeManager):
    """Its claim would take the partition from the host that has it now."""
    workers.add(0)
    assert manager.retired == {name_of(0)}
    workers.take_back(0)
    assert manager.retired == set()


def test_one_that_is_taken_back_stays(workers: Handover, manager: FakeManager, clock: Clock):
    """One that ends already, or was never there, has a successor."""
    for number in range(3):
        workers.add(number)
    manager.states[name_of(1)] = State(Phase.KILLING, 1, 0, 0.0)
    manager.states[name_of(2)] = State(Phase.DRAINING, 1, 0, 0.0)
    assert [workers.take_back(n) for n in range(4)] == [True, False, False, False]
    clock.now += 1000
    workers.complete()
    assert manager.removed == []
