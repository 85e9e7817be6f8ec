"""The supervisor's knowledge of its partitions, from a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Collection

from tests.harness.owner import PARTITION, PATIENCE_SECONDS, put
from tests.kafka import at
from workers.supervisor.end_offsets import EndOffsets


def ask(asked: EndOffsets, partitions: Collection[int]) -> None:
    """Ask, and wait for the answer."""
    asked.ask(partitions)
    due = time.monotonic() + PATIENCE_SECONDS
    while not asked.take_answer():
        assert time.monotonic() < due, "there is no answer"
        time.sleep(0.01)
    assert not asked.take_answer()


def test_it_hears_where_partitions_end(topics: str):
    """Of those that it asks about."""
    put(topics, b"1", b"2", b"3")
    asked = EndOffsets(at(topics))
    for partitions, ends in (({0, PARTITION}, {0: 0, PARTITION: 3}), ({PARTITION}, {PARTITION: 3})):
        ask(asked, partitions)
        while asked.ends().keys() != partitions:  # on a busy machine Kafka may be late for one
            ask(asked, partitions)
        assert asked.ends() == ends


def test_where_kafka_does_not_answer_nothing_is_known():
    """That is an answer too: the former knowledge is not true any more."""
    asked = EndOffsets(at("127.0.0.1:1"))
    ask(asked, {PARTITION})
    assert asked.ends() == {}
