"""What `cerrojo partitions` knows of Kafka."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException

from workers.commands.partitions import end_offsets


def test_one_partition_without_a_leader_hides_no_other():
    """It is then that somebody asks."""
    known: Future[Any] = Future()
    known.set_result(SimpleNamespace(offset=7))
    unknown: Future[Any] = Future()
    unknown.set_exception(KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE)))
    kafka = SimpleNamespace(
        list_topics=lambda topic, timeout: SimpleNamespace(
            topics={topic: SimpleNamespace(partitions=[0, 1])}
        ),
        list_offsets=lambda wanted, request_timeout: dict(
            zip(wanted, (unknown, known), strict=True)
        ),
    )
    assert end_offsets(cast(Any, kafka), "attempts") == {1: 7}
