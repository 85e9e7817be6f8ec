"""What the supervisor hears from a real Kafka about its partitions."""

from __future__ import annotations

import time
from collections.abc import Collection

from confluent_kafka import Consumer, TopicPartition

from events.topics import ATTEMPTS
from tests.integration.owner import PARTITION, PATIENCE, put
from workers.asked import Asked

GROUP = "asked"


def ask(asked: Asked, partitions: Collection[int], unknown: Collection[int]) -> None:
    """Ask, and wait for the answer."""
    asked.ask(partitions, unknown)
    due = time.monotonic() + PATIENCE
    while not asked.take_news():
        assert time.monotonic() < due, "there is no answer"
        time.sleep(0.01)
    assert not asked.take_news()


def test_it_hears_where_partitions_end_and_how_far_the_group_is(topics: str):
    """Of a partition that nobody has got anywhere in, nothing is known but its end."""
    put(topics, b"1", b"2", b"3")
    member = Consumer({"bootstrap.servers": topics, "group.id": GROUP})
    member.commit(offsets=[TopicPartition(ATTEMPTS, PARTITION, 2)], asynchronous=False)
    asked = Asked(topics, GROUP)
    ask(asked, {0, PARTITION}, {0, PARTITION})
    assert asked.ends() == {0: 0, PARTITION: 3}
    assert asked.committed() == {PARTITION: 2}
    ask(asked, {PARTITION}, ())
    assert asked.ends() == {PARTITION: 3}
    assert asked.committed() == {}
    member.close()


def test_where_kafka_does_not_answer_nothing_is_known():
    """That is an answer too: what was known before is not so any more."""
    asked = Asked("127.0.0.1:1", GROUP)
    ask(asked, {PARTITION}, {PARTITION})
    assert asked.ends() is None
    assert asked.committed() == {}
