"""What a user of Kafka's may do, as it finds out by doing it."""

from __future__ import annotations

from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)

from events.clients import UNJOINED_GROUP
from events.topics import ATTEMPTS, BLOCKS, EVENTS, SOURCES, TOPICS, VERDICTS

SOON_SECONDS = 60.0

REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}

READS: dict[str, set[str]] = {
    "gateway": {VERDICTS, BLOCKS, SOURCES},
    "workers": {ATTEMPTS},
    "commands": {VERDICTS, BLOCKS},
    "stranger": set(),
}

WRITES: dict[str, set[str]] = {
    "gateway": {ATTEMPTS, SOURCES},
    "workers": {ATTEMPTS, VERDICTS, BLOCKS, EVENTS},  # to the first one policies and layouts
    "commands": {ATTEMPTS},
    "stranger": set(),
}


def may_write(options: dict[str, Any], topic: str) -> bool:
    """Whether a record comes into this topic; one that nobody believes."""
    errors: list[KafkaError | None] = []
    producer = Producer(options)
    if _hidden(producer, topic):
        return False
    producer.produce(topic, b"?", partition=0, on_delivery=lambda error, _: errors.append(error))
    producer.flush(SOON_SECONDS)
    [error] = errors
    assert error is None or error.code() in REFUSALS, error
    return error is None


def may_read(options: dict[str, Any], topic: str, prefix: str = "") -> bool:
    """Whether this topic is read to its end."""
    consumer = Consumer(
        options | {"group.id": prefix + UNJOINED_GROUP, "enable.partition.eof": True}
    )
    try:
        if _hidden(consumer, topic):
            return False
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        message = polled(consumer)
    finally:
        consumer.close()
    error = message.error()
    assert error is None or error.code() in {*REFUSALS, KafkaError._PARTITION_EOF}, error
    return error is None or error.code() == KafkaError._PARTITION_EOF


def _hidden(client: Producer | Consumer, topic: str) -> bool:
    """Whether the brokers do not even say that there is this topic."""
    error = client.list_topics(topic, timeout=SOON_SECONDS).topics[topic].error
    assert error is None or error.code() in REFUSALS, error
    return error is not None


def polled(consumer: Consumer) -> Message:
    """The next message, or what there is in its place."""
    message = consumer.poll(SOON_SECONDS)
    assert message is not None
    return message


def assert_rights(who: str, options: dict[str, Any], prefix: str = "") -> None:
    """Fail unless this part writes and reads its topics, and no others."""
    assert {topic for topic in TOPICS if may_write(options, prefix + topic)} == WRITES[who]
    assert {topic for topic in TOPICS if may_read(options, prefix + topic, prefix)} == READS[who]
