"""Everything that a run left behind, as the oracle needs it: the topics, the tables, the answers.

Nothing of the system's own code reads it, so that a mistake there cannot hide itself:
MessagePack is decoded into plain lists, and the tables are read column by column.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

PATIENCE = 30.0  # seconds for the workers to come to the end of the log


class Logged(NamedTuple):
    """A record on a topic."""

    partition: int
    offset: int
    ms: int
    """On `attempts` always the append time; on the others by their topic's configuration."""
    fields: list[Any] | None
    """The message's array, its tag first; None where it cannot be read."""


class Audited(NamedTuple):
    """A row of `audit`."""

    partition: int
    offset: int
    generation: int
    ms: int
    id: bytes
    kind: str
    user: str
    right: bool | None
    decision: int
    until_ms: int
    change: int
    policy_version: int
    reply_partition: int
    transaction: str = ""
    committed_ms: float | None = None
    """Where the server keeps the times of commits."""


class Locked(NamedTuple):
    """A row of `lock_states`."""

    user: str
    failures_ms: tuple[int, ...]
    in_a_row: int
    blocks: int
    since_ms: int | None
    until_ms: int | None
    last_ms: int
    partition: int
    offset: int


class Answered(NamedTuple):
    """What a client got for a login; the times are on the clock that the broker has, too."""

    user: str
    right: bool
    """Whether it sent the account's password."""
    status: int
    """0 where the connection broke or the client gave up."""
    started_ms: float
    ended_ms: float


@dataclass
class Evidence:
    """What the oracle judges."""

    attempts: list[Logged] = field(default_factory=list)
    verdicts: list[Logged] = field(default_factory=list)
    blocks: list[Logged] = field(default_factory=list)
    audit: list[Audited] = field(default_factory=list)
    states: list[Locked] = field(default_factory=list)
    progress: dict[int, int] = field(default_factory=dict)
    """The next offset by partition."""
    quarantined: set[tuple[int, int]] = field(default_factory=set)
    """Partition and offset."""
    answers: list[Answered] | None = None
    """All that clients got; None where nobody noted it."""
    exact_times: bool = False
    """Whether `verdicts` and `blocks` have append times and the audit rows times of commits."""


def gather(
    kafka: str,
    database_url: str,
    answers: list[Answered] | None,
    exact: bool,
    patience: float = PATIENCE,
) -> Evidence:
    """Wait until everything in the log is decided and said, and read it all."""
    wait_until_said(kafka, patience)
    evidence = Evidence(answers=answers, exact_times=exact)
    evidence.attempts = list(read_topic(kafka, "attempts"))
    evidence.verdicts = list(read_topic(kafka, "verdicts"))
    evidence.blocks = list(read_topic(kafka, "blocks"))
    committed = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000"
    with psycopg.connect(database_url) as database:
        evidence.audit = [
            Audited(*row)
            for row in database.execute(
                "SELECT partition, log_offset, generation, appended_ms, id, kind, username,"
                " right_password, decision, until_ms, change, policy_version, reply_partition,"
                f" xmin::text, {committed if exact else 'NULL'} FROM audit"
                " ORDER BY partition, generation, log_offset"
            )
        ]
        evidence.states = [
            Locked(row[0], tuple(row[1]), *row[2:])
            for row in database.execute(
                "SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms,"
                " blocked_until_ms, last_ms, partition, log_offset FROM lock_states"
            )
        ]
        evidence.progress = dict(
            database.execute("SELECT partition, next_offset FROM partition_progress").fetchall()
        )
        evidence.quarantined = set(
            database.execute("SELECT partition, log_offset FROM quarantine").fetchall()
        )
    return evidence


def wait_until_said(kafka: str, patience: float) -> None:
    """Return when the owner of each partition has said that all of its log is published.

    What is not so after a while is for the oracle to tell in detail.
    """
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "evidence"})
    until = time.monotonic() + patience
    try:
        ends = {p.partition: e for p, _, e in _bounds(reader, "attempts") if e > 0}
        news, _, end = _bounds(reader, "blocks")[0]
        news.offset = max(0, end - 1000)
        reader.assign([news])
        said: dict[int, int] = {}
        while said != ends and time.monotonic() < until:
            message = reader.poll(0.2)
            if message is not None and message.error() is None:
                fields = _logged(message).fields
                if fields and fields[0] == "heartbeat":
                    said[fields[1]] = fields[3][1]
    finally:
        reader.close()


def read_topic(kafka: str, topic: str) -> Iterator[Logged]:
    """Every record that stands in the topic now, partition by partition in order."""
    reader = Consumer(
        {"bootstrap.servers": kafka, "group.id": "evidence", "auto.offset.reset": "error"}
    )
    try:
        for partition, start, end in _bounds(reader, topic):
            partition.offset = start
            reader.assign([partition])
            position = start
            while position < end:
                message = reader.poll(10.0)
                if message is None or message.error() is not None:
                    raise RuntimeError(f"{topic} cannot be read: {message and message.error()}")
                logged = _logged(message)
                position = logged.offset + 1
                yield logged
    finally:
        reader.close()


def _bounds(reader: Consumer, topic: str) -> list[tuple[TopicPartition, int, int]]:
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    found = []
    for number in sorted(partitions):
        partition = TopicPartition(topic, number)
        start, end = reader.get_watermark_offsets(partition, timeout=10) or (0, 0)
        found.append((partition, start, end))
    return found


def _logged(message: Message) -> Logged:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return logged(partition, offset, message.timestamp()[1], message.value())


def logged(partition: int, offset: int, ms: int, value: bytes | None) -> Logged:
    """A record with this value."""
    try:
        fields = msgspec.msgpack.decode(value) if value is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        fields = None
    return Logged(partition, offset, ms, fields if isinstance(fields, list) else None)
