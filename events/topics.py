"""The topics: their names, what they must be like, and which partition a user is in."""

from __future__ import annotations

import time
import zlib
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from events.messages import VERDICT_PARTITIONS

ATTEMPTS = "attempts"
VERDICTS = "verdicts"
BLOCKS = "blocks"

TIMEOUT = 10.0
"""Seconds that the brokers may take for an administrative request."""

_CONFIGS = {
    # The append time decides windows and blocks, so it must be the log's, not a client's.
    ATTEMPTS: {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"},
    VERDICTS: {"cleanup.policy": "delete"},
    # No compaction: a zombie's late record would survive it.
    BLOCKS: {"cleanup.policy": "delete"},
}
"""What must hold in a topic, also in one that exists already."""

HOUR_MS = 3_600_000


class Retention(NamedTuple):
    """How long Kafka keeps the topics, in hours; 0 is forever."""

    attempts: int = 168
    """A worker that was away longer than this reports how many attempts it missed."""
    news: int = 1
    """`verdicts` and `blocks` are of use for seconds; an hour helps whoever looks for a fault."""

    def config(self, topic: str) -> dict[str, str]:
        """The topic's configuration that follows."""
        hours = self.attempts if topic == ATTEMPTS else self.news
        if hours == 0:
            return {"retention.ms": "-1"}
        # Kafka deletes whole segments that are closed, and by itself closes one after a week:
        # eight in the time keep what is kept within an eighth of what was asked for.
        return {"retention.ms": str(hours * HOUR_MS), "segment.ms": str(hours * HOUR_MS // 8)}


DEFAULT_RETENTION = Retention()


def _safety(replicas: int) -> dict[str, str]:
    """What is acknowledged is on two brokers, where there are enough for one of them to die."""
    return {"min.insync.replicas": "2"} if replicas >= 3 else {}


class TopicError(Exception):
    """A topic is not as it must be; the message says which, how, and the way out."""


def partition_of(user: str, partitions: int) -> int:
    """The partition of this account's attempts: librdkafka's ``consistent`` partitioner."""
    return zlib.crc32(user.encode()) % partitions


def create_topics(
    admin: AdminClient,
    partitions: int,
    replication: int,
    retention: Retention = DEFAULT_RETENTION,
) -> int:
    """Make the topics that do not exist, check those that do; the partitions of `attempts`.

    Those that exist also get this retention, where it is another one.
    Raises :class:`TopicError` for a topic that cannot be used and ``KafkaException``
    where the brokers do not answer.
    """
    counts = {ATTEMPTS: partitions, VERDICTS: VERDICT_PARTITIONS, BLOCKS: 1}
    futures = admin.create_topics(
        [
            NewTopic(
                name,
                counts[name],
                replication,
                config=config | retention.config(name) | _safety(replication),
            )
            for name, config in _CONFIGS.items()
        ],
        operation_timeout=TIMEOUT,
        request_timeout=TIMEOUT,
    )
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicError(
                    f"The topic {name} could not be made: {error.args[0].str()}"
                ) from error
    _wait_until_usable(admin)
    for name, config in _CONFIGS.items():
        actual = _config(admin, name)
        _check_config(name, config, actual)
        wanted = retention.config(name)
        if int(actual["min.insync.replicas"]) < 2:
            wanted |= _safety(min(len(p.replicas) for p in describe(admin, name).partitions))
        _set_config(admin, name, wanted, actual)
    replies = len(describe(admin, VERDICTS).partitions)
    if replies < VERDICT_PARTITIONS:
        raise TopicError(
            f"The topic {VERDICTS} has {replies} partitions and must have {VERDICT_PARTITIONS}. "
            f"Add them with kafka-topics.sh --alter --topic {VERDICTS} --partitions "
            f"{VERDICT_PARTITIONS}."
        )
    return len(describe(admin, ATTEMPTS).partitions)


def describe(admin: AdminClient, topic: str, seconds: float = TIMEOUT) -> TopicDescription:
    """The topic as the brokers know it: its id and partitions. Raises ``KafkaException``."""
    # The question goes to the broker that the last answer about the cluster called its controller,
    # and waits for that one even when it is dead. So there has to be a new answer first.
    admin.list_topics(topic, timeout=seconds)
    found = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)
    description: TopicDescription = found[topic].result()
    return description


def _wait_until_usable(admin: AdminClient) -> None:
    """A topic is made before all brokers know it and its partitions have leaders."""
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            offsets = {
                TopicPartition(name, partition.id): OffsetSpec.latest()  # type: ignore[no-untyped-call]
                for name in _CONFIGS
                for partition in describe(admin, name).partitions
            }
            for future in admin.list_offsets(offsets, request_timeout=TIMEOUT).values():
                future.result()
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _config(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource], request_timeout=TIMEOUT).values()
    return {key: entry.value for key, entry in future.result().items()}


def _set_config(
    admin: AdminClient, topic: str, wanted: dict[str, str], actual: dict[str, str]
) -> None:
    changes = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in wanted.items()
        if actual[key] != value
    ]
    if changes:
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
        (future,) = admin.incremental_alter_configs([resource], request_timeout=TIMEOUT).values()
        future.result()


def _check_config(topic: str, wanted: dict[str, str], actual: dict[str, str]) -> None:
    for key, value in wanted.items():
        if actual[key] != value:
            raise TopicError(
                f"The topic {topic} has {key}={actual[key]} and must have {value}. "
                f"Set it with kafka-configs.sh --alter --topic {topic} --add-config {key}={value}."
            )
