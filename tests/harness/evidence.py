"""Everything that a run left behind, as the oracle needs it: the topics, the tables, the answers.

Nothing of the system's own code reads it, so that a mistake there cannot hide itself:
MessagePack is decoded into plain lists, and the tables are read column by column.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition
from psycopg.rows import class_row

from loadtest.histories import ClockApart
from oracle.records import Logged, logged
from tests.kafka import reader

PATIENCE_SECONDS = 60.0  # for the workers to come to the end of the log


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
    source: str | None = None
    user_agent: str | None = None
    delayed_ms: int = 0
    device: bytes | None = None
    guess: bytes | None = None
    operator: str | None = None
    reason: str | None = None


class Locked(NamedTuple):
    """A row of `lock_states`."""

    user: str
    failures_ms: tuple[int, ...]
    consecutive_failures: int
    blocks: int
    since_ms: int | None
    until_ms: int | None
    last_ms: int
    forget_ms: int
    by_hand: bool
    partition: int
    offset: int
    guesses: tuple[str, ...] = ()
    """In hex; of each of the failures, zeros where it is not known."""
    devices: tuple[tuple[str, int, int | None, tuple[str, ...]], ...] = ()
    """Their ids, wrong passwords, ends of their blocks and guesses, ids and guesses in hex."""


class Answered(NamedTuple):
    """A client's answer to a login; the times are on the clock that the broker has, too."""

    user: str
    right: bool
    """Whether it sent the account's password."""
    status: int
    """0 where the connection broke or the client gave up."""
    started_ms: float
    ended_ms: float


class Restored(NamedTuple):
    """The database went back to an older state, so some of the log was decided once more."""

    next_offsets: dict[int, int]
    """Of that state, by partition; or a little less."""
    ms: float
    """When that was over."""

    def concerns(self, row: Audited) -> bool:
        """Whether this decision may be a second one, later than what was said of the first."""
        return row.offset >= self.next_offsets.get(row.partition, 0) and row.ms <= self.ms


CLOCK_MARGIN_MS = 15_000
"""So long before a clock was set something may have been appended that is decided then."""


def _concerns(clock: ClockApart, row: Audited) -> bool:
    """Whether this row may have times of a clock that was wrong."""
    return any(
        clock.begin - CLOCK_MARGIN_MS <= ms <= clock.end for ms in (row.ms, row.ms - clock.ahead_ms)
    )


@dataclass
class Evidence:
    """The records, rows and answers that the oracle judges."""

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
    restored: list[Restored] = field(default_factory=list)
    clocks: Sequence[ClockApart] = ()
    """When a broker's clock was wrong."""
    database_clocks: Sequence[ClockApart] = ()

    def times_agree(self, row: Audited) -> bool:
        """Whether all clocks that this row and what was said of it have times of were right."""
        clocks = (*self.clocks, *self.database_clocks)
        return not any(_concerns(clock, row) for clock in clocks)

    def appended(self) -> dict[tuple[int, int], float]:
        """When each record of `attempts` was really appended, by partition and offset.

        A log's order is that of the appends, so of the times that a record may mean it is the
        earliest that is no earlier than the record before it.
        """
        found: dict[tuple[int, int], float] = {}
        latest: dict[int, float] = {}
        for record in sorted(self.attempts, key=lambda record: (record.partition, record.offset)):
            before = latest.get(record.partition, -inf)
            times = [float(record.ms)] + [
                record.ms - clock.ahead_ms
                for clock in self.clocks
                if clock.begin <= record.ms - clock.ahead_ms <= clock.end
            ]
            possible = [ms for ms in times if ms >= before]
            ms = min(possible) if possible else float(record.ms)
            found[record.partition, record.offset] = latest[record.partition] = ms
        return found


def gather(
    kafka: str,
    database_url: str,
    answers: list[Answered] | None,
    exact: bool,
    patience: float = PATIENCE_SECONDS,
    restored: Sequence[Restored] = (),
    clocks: Sequence[ClockApart] = (),
    database_clocks: Sequence[ClockApart] = (),
) -> Evidence:
    """Wait until everything in the log is decided and said, and read it all."""
    wait_until_said(kafka, patience)
    evidence = Evidence(
        answers=answers,
        exact_times=exact,
        restored=list(restored),
        clocks=clocks,
        database_clocks=database_clocks,
    )
    evidence.attempts = list(read_topic(kafka, "attempts"))
    evidence.verdicts = [one for each in read_topic(kafka, "verdicts") for one in singly(each)]
    evidence.blocks = list(read_topic(kafka, "blocks"))
    committed = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000"
    with psycopg.connect(database_url) as database:
        with database.cursor(row_factory=class_row(Audited)) as cursor:
            evidence.audit = cursor.execute(
                'SELECT partition, log_offset AS "offset", generation, appended_ms AS ms, id, kind,'
                ' username AS "user", right_password AS "right", decision, until_ms, change,'
                " policy_version, reply_partition, xmin::text AS transaction,"
                f" {committed if exact else 'NULL::float8'} AS committed_ms, source, user_agent,"
                " delayed_ms, device, guess, operator, reason"
                " FROM audit"
                " ORDER BY partition, generation, log_offset"
            ).fetchall()
        evidence.states = [
            Locked(row[0], tuple(row[1]), *row[2:-2], _guesses(row[-2]), _devices(row[-1]))
            for row in database.execute(
                "SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms,"
                " blocked_until_ms, last_ms, forget_ms, blocked_by_hand, partition, log_offset,"
                " guesses, devices FROM lock_states"
            )
        ]
        evidence.progress = dict(
            database.execute("SELECT partition, next_offset FROM partition_progress").fetchall()
        )
        evidence.quarantined = set(
            database.execute("SELECT partition, log_offset FROM quarantine").fetchall()
        )
    return evidence


def singly(record: Logged) -> list[Logged]:
    """The verdicts of a record on `verdicts`, which may be a list of some."""
    if record.fields and record.fields[0] == "verdicts":
        return [record._replace(fields=one) for one in record.fields[1]]
    return [record]


def _guesses(stored: bytes | None) -> tuple[str, ...]:
    text = (stored or b"").hex()
    return tuple(text[at : at + 16] for at in range(0, len(text), 16))


def _devices(stored: list[dict[str, Any]] | None) -> tuple[Any, ...]:
    return tuple(
        (one["device"], one["failures"], one["until_ms"], tuple(one["guesses"]))
        for one in stored or ()
    )


def wait_until_said(kafka: str, patience: float) -> None:
    """Return when the owner of each partition has said that all of its log is published.

    The oracle tells in detail of any partition where that is not so after a while.
    """
    consumer = reader(kafka)
    until = time.monotonic() + patience
    try:
        ends = {p.partition: e for p, _, e in _bounds(consumer, "attempts") if e > 0}
        news, _, end = _bounds(consumer, "blocks")[0]
        news.offset = max(0, end - 1000)
        consumer.assign([news])
        said: dict[int, int] = {}
        while said != ends and time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                fields = _logged(message).fields
                if fields and fields[0] == "heartbeat":
                    said[fields[1]] = fields[3][1]
    finally:
        consumer.close()


def read_topic(kafka: str, topic: str) -> Iterator[Logged]:
    """Every record that stands in the topic now, partition by partition in order."""
    consumer = reader(kafka, auto_offset_reset="error")
    try:
        for partition, start, end in _bounds(consumer, topic):
            partition.offset = start
            consumer.assign([partition])
            position = start
            while position < end:
                message = consumer.poll(60.0)
                if message is None or message.error() is not None:
                    raise RuntimeError(f"{topic} cannot be read: {message and message.error()}")
                logged = _logged(message)
                position = logged.offset + 1
                yield logged
    finally:
        consumer.close()


def _bounds(consumer: Consumer, topic: str) -> list[tuple[TopicPartition, int, int]]:
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    found = []
    for number in sorted(partitions):
        partition = TopicPartition(topic, number)
        start, end = consumer.get_watermark_offsets(partition, timeout=60) or (0, 0)
        found.append((partition, start, end))
    return found


def _logged(message: Message) -> Logged:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return logged(partition, offset, message.timestamp()[1], message.value())
