"""How long a relay waits for brokers."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from settings import Settings
from workers.relay import event, publisher
from workers.relay.publisher import EventPublisher, PublishError

EVENTS = [event.expired(f"user{number}", event.End(1, 1, 0, 1, number)) for number in range(3)]


class Producer:
    """One for which the brokers take what is left, from one look to the next."""

    def __init__(self, left: Iterator[int]) -> None:
        self._left = left

    def produce(self, *_: Any, **__: Any) -> None:
        """Take it."""

    def flush(self, _: float) -> int:
        return next(self._left)


def seconds_of(left: list[int], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the brokers are waited for while so many events are left each second."""
    seconds: list[float] = []
    monkeypatch.setattr(publisher, "Producer", lambda _: Producer(iter(left)))
    clock = SimpleNamespace(monotonic=lambda: float(len(seconds)))
    monkeypatch.setattr(publisher, "time", clock)
    made = EventPublisher(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    made.publish(EVENTS, lambda: seconds.append(1.0))
    return seconds


def test_a_host_that_does_not_reach_the_brokers_lets_another_one_lead(
    monkeypatch: pytest.MonkeyPatch,
):
    """It reaches Postgres, and would keep the lead for ever, while another one could publish."""
    with pytest.raises(PublishError, match="taken no event for 15 s"):
        seconds_of([3] * 30, monkeypatch)


def test_brokers_that_are_slow_are_waited_for(monkeypatch: pytest.MonkeyPatch):
    """As long as they take one event after the other."""
    left = [3] * 15 + [2] * 15 + [1] * 15 + [0]
    assert len(seconds_of(left, monkeypatch)) == 45
