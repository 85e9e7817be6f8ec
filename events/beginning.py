"""With how many partitions the log begins, for a database that has forgotten it.

The settings may say another number by now: the partitions have become more since, and the log is
to be read again from before that (the rule is in workers/layout.py). Were the later number in
force at once, no partition would wait for those in which its accounts were before.
"""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from events.clients import connection
from events.messages import SetPolicy, UndecodableError, decode_attempts
from events.topics import ATTEMPTS, TIMEOUT

MOST_RECORDS = 1_000
"""Of each partition; the first or second one usually says it."""

AT_ONCE = 500


def first_layout(bootstrap_servers: str, partitions: int) -> int | None:
    """The least that the first records of these partitions were sent by; None if none says it.

    Where Kafka has deleted a log's start, the first that are left count. Raises
    ``KafkaException`` where the brokers do not let all partitions be read in time.
    """
    consumer = Consumer(
        connection(bootstrap_servers)
        | {
            # The client wants a group's name; this consumer never joins one.
            "group.id": "cerrojo-beginning-unused",
            "enable.auto.commit": False,
            # Nothing is jumped over: a start that is deleted at this moment is none any more.
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "max.partition.fetch.bytes": 65_536,
        }
    )
    try:
        return min(_first_layouts(consumer, partitions), default=None)
    finally:
        consumer.close()


def _first_layouts(consumer: Consumer, partitions: int) -> list[int]:
    until = time.monotonic() + TIMEOUT
    left = dict.fromkeys(range(partitions), MOST_RECORDS)
    layouts = []
    # Who knows no leaders yet asks for a log's start half a second later.
    consumer.list_topics(ATTEMPTS, timeout=TIMEOUT)
    consumer.assign([TopicPartition(ATTEMPTS, number, OFFSET_BEGINNING) for number in left])
    while left:
        if time.monotonic() > until:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        first = consumer.poll(0.1)  # consume(n, t) would wait for all n
        if first is None:
            continue
        for message in [first, *consumer.consume(AT_ONCE, 0)]:
            number, error = message.partition(), message.error()
            if number not in left or (error and error.code() != KafkaError._PARTITION_EOF):
                continue  # the client tries again by itself
            layout = 0 if error else _layout_of(message.value())
            left[number] -= 1
            if layout:
                layouts.append(layout)
            if layout or error or not left[number]:
                del left[number]
                consumer.incremental_unassign([TopicPartition(ATTEMPTS, number)])
    return layouts


def _layout_of(value: bytes | None) -> int:
    try:
        message = decode_attempts(value)
    except UndecodableError:
        return 0
    return 0 if isinstance(message, SetPolicy) else message.partitions
