"""A turn of the supervisor."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

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
    ("ready", "asked"),
    [
        (False, ["look", "hear the relay"]),
        (True, ["look", "hear the relay", "refill", "start the relay"]),
    ],
)
def test_standbys_are_looked_after_whatever_the_workers_do(ready: bool, asked: list[str]):
    """One partition in a crash loop must not give a frozen standby to the next that dies."""
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
        ready=ready,
    )
    Supervisor.step(cast(Any, supervisor))
    assert standbys.asked == asked
