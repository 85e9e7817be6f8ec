"""Finds the number of partitions with which the log begins, for a database that has lost it.

The settings may have a larger number by now, because partitions were added since, and the log is
read again from before that (the rule is in `workers.partition.repartitioning`). If the larger
number were in force at once, no partition would wait for those that had its accounts before.
"""

from __future__ import annotations

import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from events.clients import assigned_consumer, read_batch
from events.messages import SetPolicy, UndecodableError, decode_attempts
from events.signatures import Opener
from events.signing_keys import key_file
from events.topics import ADMIN_TIMEOUT_SECONDS, ATTEMPTS
from settings import Settings

MAX_RECORDS = 1_000
"""Records to read of each partition; usually the first or second one has a layout."""

BATCH_RECORDS = 500


def first_layout(settings: Settings, partitions: int) -> int | None:
    """The smallest layout of the first records of these partitions; None if no record has one.

    Where Kafka has deleted a log's start, its first remaining records count. Raises
    ``KafkaException`` where not all partitions can be read in time, and SettingsError where the
    workers' keys cannot be used.
    """
    topic = settings.prefixed(ATTEMPTS)
    opener = Opener(key_file(settings, "workers"), topic, settings.unsigned_until_ms)
    consumer = assigned_consumer(
        settings,
        {
            # If the start is deleted at this moment, the next one is the start: nothing is skipped.
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "max.partition.fetch.bytes": 65_536,
        },
    )
    try:
        return min(_first_layouts(consumer, topic, opener, partitions), default=None)
    finally:
        consumer.close()


def _first_layouts(consumer: Consumer, topic: str, opener: Opener, partitions: int) -> list[int]:
    deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
    remaining = dict.fromkeys(range(partitions), MAX_RECORDS)
    layouts = []
    # A client that knows no leaders yet requests a log's start half a second later.
    consumer.list_topics(topic, timeout=ADMIN_TIMEOUT_SECONDS)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in remaining])
    while remaining:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in read_batch(consumer, BATCH_RECORDS, 0.1):
            number, error = message.partition(), message.error()
            if number not in remaining or (error and error.code() != KafkaError._PARTITION_EOF):
                continue  # the client tries again by itself
            layout = 0 if error else _layout_of(message, opener)
            remaining[number] -= 1
            if layout:
                layouts.append(layout)
            if layout or error or not remaining[number]:
                del remaining[number]
                consumer.incremental_unassign([TopicPartition(topic, number)])
    return layouts


def _layout_of(record: Message, opener: Opener) -> int:
    try:
        message = decode_attempts(opener.open_record(record))
    except UndecodableError:
        return 0
    return 0 if isinstance(message, SetPolicy) else message.partitions
