"""The topics: their names, what they must be like, and which partition a user is in."""

from __future__ import annotations

import time
import zlib

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
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

SHORT_RETENTION_MS = 3_600_000
"""News and answers are of use for seconds; an hour helps whoever looks for a fault."""

ATTEMPTS_RETENTION_MS = 7 * 86_400_000
"""A worker that was away longer than this reports how many attempts it missed."""

TIMEOUT = 10.0
"""Seconds that the brokers may take for an administrative request."""

_CONFIGS = {
    ATTEMPTS: {
        # The append time decides windows and blocks, so it must be the log's, not a client's.
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": str(ATTEMPTS_RETENTION_MS),
    },
    VERDICTS: {"cleanup.policy": "delete", "retention.ms": str(SHORT_RETENTION_MS)},
    # No compaction: a zombie's late record would survive it.
    BLOCKS: {"cleanup.policy": "delete", "retention.ms": str(SHORT_RETENTION_MS)},
}

_SETTLED = ("message.timestamp.type", "cleanup.policy")
"""What must hold in a topic that exists already; its retention is its owner's affair."""


class TopicError(Exception):
    """A topic is not as it must be; the message says which, how, and the way out."""


def partition_of(user: str, partitions: int) -> int:
    """The partition of this account's attempts: librdkafka's ``consistent`` partitioner."""
    return zlib.crc32(user.encode()) % partitions


def create_topics(admin: AdminClient, partitions: int, replication: int) -> int:
    """Make the topics that do not exist, check those that do; the partitions of `attempts`.

    Raises :class:`TopicError` for a topic that cannot be used and ``KafkaException``
    where the brokers do not answer.
    """
    counts = {ATTEMPTS: partitions, VERDICTS: VERDICT_PARTITIONS, BLOCKS: 1}
    futures = admin.create_topics(
        [
            NewTopic(name, counts[name], replication, config=config)
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
        _check_config(admin, name, {key: config[key] for key in _SETTLED if key in config})
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


def _check_config(admin: AdminClient, topic: str, wanted: dict[str, str]) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource], request_timeout=TIMEOUT).values()
    actual = future.result()
    for key, value in wanted.items():
        if actual[key].value != value:
            raise TopicError(
                f"The topic {topic} has {key}={actual[key].value} and must have {value}. "
                f"Set it with kafka-configs.sh --alter --topic {topic} --add-config {key}={value}."
            )
