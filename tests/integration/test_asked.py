"""What the supervisor hears from a real Kafka about its partitions."""

from __future__ import annotations

import time
from collections.abc import Collection

from tests.integration.owner import PARTITION, PATIENCE, put
from workers.asked import Asked


def ask(asked: Asked, partitions: Collection[int]) -> None:
    """Ask, and wait for the answer."""
    asked.ask(partitions)
    due = time.monotonic() + PATIENCE
    while not asked.take_news():
        assert time.monotonic() < due, "there is no answer"
        time.sleep(0.01)
    assert not asked.take_news()


def test_it_hears_where_partitions_end(topics: str):
    """Of those that it asks about."""
    put(topics, b"1", b"2", b"3")
    asked = Asked(topics)
    ask(asked, {0, PARTITION})
    assert asked.ends() == {0: 0, PARTITION: 3}
    ask(asked, {PARTITION})
    assert asked.ends() == {PARTITION: 3}


def test_where_kafka_does_not_answer_nothing_is_known():
    """That is an answer too: what was known before is not so any more."""
    asked = Asked("127.0.0.1:1")
    ask(asked, {PARTITION})
    assert asked.ends() is None
