"""How far each partition is decided, and by whom."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
from confluent_kafka import KafkaException
from msgspec import Struct

from events.clients import asking_consumer, end_offsets
from events.topics import ADMIN_TIMEOUT_SECONDS, ATTEMPTS
from settings import Settings
from sql.connection import connection_options
from workers.commands.errors import kafka_failed, reach_kafka


class PartitionState(Struct):
    """A partition that is used."""

    partition: int
    owner: str | None
    """Host, pid and start of the process that decides it; None: none ever did."""
    claimed_at: str | None
    """ISO 8601 in UTC"""
    generation: int | None
    next_offset: int | None
    """Everything before it is decided."""
    end_offset: int | None
    """That the next record gets; None: Kafka has no such partition, or does not say."""
    lag: int | None
    """Records that wait; None: not known."""
    policy: int | None
    """The version of the policy in force."""


def run(settings: Settings) -> list[PartitionState]:
    """The partitions in use. Raises CommandError, ``SettingsError`` or ``psycopg.Error``."""
    kafka = reach_kafka(settings)
    with psycopg.connect(
        settings.require_database(), **connection_options("partitions")
    ) as database:
        rows = database.execute(
            "SELECT n, owner, to_char(claimed_at AT TIME ZONE 'UTC',"
            " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), generation, next_offset, policy->'version'"
            " FROM topology, generate_series(0, partitions - 1) n"
            " LEFT JOIN partition_progress ON partition = n ORDER BY n"
        ).fetchall()
    try:
        topic = settings.prefixed(ATTEMPTS)
        present = kafka.list_topics(topic, timeout=ADMIN_TIMEOUT_SECONDS).topics[topic]
        with closing(asking_consumer(settings)) as consumer:
            ends = end_offsets(consumer, topic, present.partitions, ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise kafka_failed(error) from error
    return [_state(row, ends.get(row[0])) for row in rows]


def _state(row: tuple[Any, ...], end: int | None) -> PartitionState:
    partition, owner, claimed_at, generation, next_offset, policy = row
    lag = None if end is None or next_offset is None else max(0, end - next_offset)
    return PartitionState(partition, owner, claimed_at, generation, next_offset, end, lag, policy)
