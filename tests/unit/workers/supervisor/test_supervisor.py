"""A turn of the supervisor."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from processes.events import Exited
from workers.supervisor.supervisor import Supervisor


class Standbys:
    """Notes what is asked of the standbys."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def look(self) -> None:
        """Hear who lives."""
        self.asked.append("look")

    def refill(self) -> None:
        """Start who is missing."""
        self.asked.append("refill")


class Relay:
    """Notes what is asked of the relay's keeper, in the same list."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def step(self) -> None:
        """Hear it."""
        self.asked.append("hear the relay")

    def start(self) -> None:
        """Start it if it is missing."""
        self.asked.append("start the relay")


@pytest.mark.parametrize(
    ("joined", "ready", "asked"),
    [
        (False, False, ["look", "hear the relay"]),
        (True, False, ["look", "hear the relay", "start the relay"]),
        (True, True, ["look", "hear the relay", "start the relay", "refill"]),
    ],
)
def test_standbys_and_the_relay_are_looked_after_whatever_the_workers_do(
    joined: bool, ready: bool, asked: list[str]
):
    """One partition in a crash loop must not give a frozen standby to the next that dies, nor keep
    the events of all others."""
    standbys = Standbys()
    nothing = SimpleNamespace(
        step=lambda _: None, poll=lambda _: None, complete=lambda: None, take_answer=lambda: False
    )
    supervisor = SimpleNamespace(
        manager=nothing,
        _consumer=nothing,
        _handover=nothing,
        _end_offsets=nothing,
        _standbys=standbys,
        _relay=Relay(standbys.asked),
        _commit_at=float("inf"),
        joined=joined,
        ready=ready,
    )
    Supervisor.step(cast(Any, supervisor))
    assert standbys.asked == asked


@pytest.mark.parametrize(("handed_over", "blamed"), [(set(), [2]), ({2}, [])])
def test_the_death_of_a_worker_that_is_handed_over_says_nothing(
    handed_over: set[int], blamed: list[int]
):
    """Its successor is another host's: an owner's death there is another one."""
    died: list[int] = []
    supervisor = SimpleNamespace(
        manager=SimpleNamespace(states={"worker partition 2": SimpleNamespace(pid=8)}),
        _handover=handed_over,
        _deaths=SimpleNamespace(died=died.append),
    )
    Supervisor._on_event(cast(Any, supervisor), Exited("worker partition 2", 7, -9, 1.0, False))
    assert died == blamed
