"""What the gateway's Kafka clients have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from events.clients import connection
from settings import Settings

TIMEOUT = 5.0
"""Seconds that a broker may take to answer a question, as for the end of a topic."""

WAIT = 0.2
"""Seconds of waiting for the first record; a longer wait would delay the end of a thread."""

BATCH = 1000


def client_config(settings: Settings) -> dict[str, Any]:
    """For every client of the gateway."""
    return {
        **connection(settings.require_kafka()),
        # librdkafka writes dozens of lines a second while brokers are away; error_cb, which
        # every client has, hears the same.
        "log_level": 2,
    }


def open_consumer(settings: Settings, on_error: Callable[[KafkaError], None]) -> Consumer:
    """A consumer that is given its partitions and offsets, and commits nothing.

    `on_error` hears, while it is polled, what concerns no partition.
    """
    return Consumer(
        {
            **client_config(settings),
            "group.id": "cerrojo-gateway",  # never joined, but the client wants one
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.error.backoff.ms": 100,
            "error_cb": on_error,
        }
    )


def end_offset(consumer: Consumer, topic: str, partition: int) -> int:
    """The offset of the next record that is written. Raises KafkaException.

    OFFSET_END in an assignment is resolved later, when an answer may have come already.
    """
    ends = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT)
    if ends is None:
        raise KafkaException(f"The brokers did not say in {TIMEOUT} seconds where {topic} ends")
    return int(ends[1])


def read(consumer: Consumer) -> list[Message]:
    """The records that are there; none after a short wait."""
    first = consumer.poll(WAIT)
    if first is None:
        return []
    # consume() alone would wait for a full batch.
    return [first, *consumer.consume(BATCH - 1, 0)]


def reason(error: KafkaException) -> str:
    """What went wrong, in librdkafka's words."""
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
