"""Topics that one lost broker would take along are told of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cerrojo.check_kafka import replicas
from cerrojo.findings import State
from events.topics import TOPICS


def kafka(brokers: int, **replicas_of: list[int]) -> Any:
    """Kafka with so many brokers; each partition of these topics has so many replicas."""
    return SimpleNamespace(
        brokers=dict.fromkeys(range(brokers)),
        topics={
            name: SimpleNamespace(
                partitions={
                    number: SimpleNamespace(replicas=list(range(count)))
                    for number, count in enumerate(counts)
                }
            )
            for name, counts in replicas_of.items()
        },
    )


@pytest.mark.parametrize(
    ("brokers", "counts", "warned"),
    [(3, [3, 3], 0), (3, [3, 1], 1), (5, [2], 1), (1, [1], 0), (2, [1], 0), (3, [], 0)],
)
def test_too_few_replicas_are_a_warning(brokers: int, counts: list[int], warned: int) -> None:
    """Where there are brokers for more; another system's topics do not matter."""
    present = kafka(brokers, attempts=counts, strangers=[1])
    found = list(replicas(present, ""))
    assert [finding.state for finding in found] == [State.WARNING] * warned
    assert all("have attempts:" in finding.sentence for finding in found)


def test_the_prefix_counts() -> None:
    """Each system is told of its own topics."""
    names = {f"one.{topic}": [1] for topic in TOPICS}
    present = kafka(3, **names, **{topic: [3] for topic in TOPICS})
    assert list(replicas(present, "")) == []
    (found,) = replicas(present, "one.")
    assert all(name in found.sentence for name in names)
