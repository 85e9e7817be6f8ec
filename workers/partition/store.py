"""A worker's access to Postgres: each batch is one commit, by compare-and-set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import kwargs_row
from psycopg_pool import ConnectionPool

from events.messages import FOREVER, Decision, Policy
from events.positions import Position
from events.signatures import Sealer
from sql.connection import Limits, connection_options
from workers.decision.batch import NOTHING_CAME_OF_IT, AuditRow, Batch, fingerprint
from workers.decision.policy import LockState
from workers.partition.binary_arrays import (
    APPLY,
    APPLY_WITH_DELETION,
    AUDIT_COLUMNS,
    BinaryArray,
    batch_columns,
    devices_of,
    guesses_of,
)
from workers.partition.deduplication import DEDUPLICATION_MS, DEDUPLICATION_OFFSETS, Seen
from workers.partition.seals import AUDIT_LOG, SealChain

LOCK_TIMEOUT_MS = 1_000
"""A claim waits this long for another session's lock before it terminates that session."""

DAY_MS = 86_400_000

DAYS_AT_ONCE = 30
"""Days of the audit that one statement may read. It locks each of them, with four indexes, and all
workers claim at once after a restart of Postgres, whose room for locks ends at some thousands."""

STATEMENT_TIMEOUT_MS = 8_000
"""Longer than any batch takes, so that a statement that hangs does not hang its worker."""


UNSIGNED = Sealer(None, AUDIT_LOG)


class Asked(msgspec.Struct, frozen=True):
    """Who asked for a layout, by `cerrojo resize`, and why."""

    partitions: int
    operator: str | None = None
    reason: str | None = None


class Progress(NamedTuple):
    """How far a partition has been decided, and the epoch of its owner."""

    epoch: int
    generation: int
    topic_id: str | None
    next_offset: int
    batch_offset: int
    fingerprint: bytes | None
    last_ms: int | None
    policy: Policy | None
    suspect: bool = False
    """Whether the former owner did not shut down cleanly (see `poison_records`)."""
    deaths_in_isolation: int = 0
    """The number of owners that the next record has killed."""
    layout: int = 0
    """The partition decides no record of a smaller one (see `workers.partition.repartitioning`)."""
    used: int = 0
    """The number of partitions in use when this was read: the layout in force."""
    to_propose: int = 0
    """The layout that is to be proposed to the log now; 0 for none."""
    latest_ms: int = 0
    """The latest append time of any decided record."""
    asked: Asked | None = None
    """The last layout that somebody asked for, which need not be the one to propose."""
    missing: int = 0
    """The number of records that the log has ever lost before they were read."""

    @property
    def position(self) -> Position:
        """The position of the next record."""
        return Position(self.generation, self.next_offset)


class UnstorableError(Exception):
    """Postgres refuses a value of these records, and would refuse it at any other time."""


class Store:
    """One partition's data in the database. Every method may raise ``psycopg.Error``.

    ``sealer`` signs what vouches for the audit. A use waits ``patience`` seconds for a connection.
    """

    def __init__(
        self,
        database_url: str,
        partition: int,
        sealer: Sealer = UNSIGNED,
        patience: float = 3.0,
    ) -> None:
        self.partition = partition
        self._seals = SealChain(sealer)
        self.record_not_to_blame = False
        """Whether the last owner's death does not count against the record it was deciding."""
        self._audit_days: set[int] = set()
        """Days since 1970 that have partitions of the audit in the database of the last claim."""
        self._claimed_on: psycopg.Connection[Any] | None = None
        # A worker does one thing at a time, so it has one connection, opened in this process. A
        # claim takes it, checked, and keeps it: every failure on it leads to a new claim.
        self._pool = ConnectionPool(
            database_url,
            min_size=1,
            max_size=1,
            num_workers=1,
            open=False,
            timeout=patience,
            reconnect_timeout=0,
            max_lifetime=86_400.0,  # a new connection costs a claim
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, **connection_options("worker")},
            configure=Limits(STATEMENT_TIMEOUT_MS, LOCK_TIMEOUT_MS).set,
        )

    def open(self) -> None:
        """Start connecting; the first use waits for it."""
        self._pool.open()

    def warm(self) -> None:
        """Wait for the connection, so that a claim does not have to."""
        self.progress()

    def close(self) -> None:
        """Close the connection."""
        self._return_connection()
        self._pool.close(timeout=1.0)

    def claim(self, owner: str) -> Progress:
        """Take the partition with a new epoch: from now on the former owner's commits fail."""
        self._return_connection()
        self._audit_days.clear()  # it may be another database, or the same one as it was
        connection = self._claimed_on = self._pool.getconn()
        while True:
            with suppress(psycopg.errors.LockNotAvailable):
                # The row as this claim left it: a second statement could read the next owner's
                # epoch and take it for this one's.
                row = connection.execute(
                    f"SELECT {_PROGRESS}, last_seal FROM claim_partition(%s, %s, %s)",
                    (self.partition, owner, self.record_not_to_blame),
                ).fetchone()
                assert row is not None
                *columns, last_seal = row
                progress = _progress(columns)
                self._seals.begin(last_seal, progress.latest_ms)
                return progress
            self._end_blocker(connection)

    def progress(self) -> Progress | None:
        """The stored progress of the partition; None before the first claim."""
        with self._connection() as connection:
            row = connection.execute(
                f"SELECT {_PROGRESS} FROM partition_progress WHERE partition = %s",
                (self.partition,),
            ).fetchone()
        return None if row is None else _progress(row)

    def taken(self, owner: str, epoch: int) -> bool:
        """Whether somebody else has claimed the partition since ``owner`` had this epoch."""
        self._return_connection()  # what failed was on it
        with self._connection() as connection:
            row = connection.execute(
                "SELECT epoch > %s AND owner <> %s FROM partition_progress WHERE partition = %s",
                (epoch, owner, self.partition),
            ).fetchone()
        return row is not None and bool(row[0])

    def move(self, progress: Progress, missing: int) -> bool:
        """Store this progress's generation, topic and offset; False if the partition is not mine.

        ``missing`` is the number of records that the log lost before they were read.
        """
        return self._call(
            "SELECT move_partition(%s, %s, %s, %s, %s, %s)",
            (
                self.partition,
                progress.epoch,
                progress.generation,
                progress.topic_id,
                progress.next_offset,
                missing,
            ),
        )

    def mark_isolated(self, progress: Progress) -> bool:
        """Mark the next record as decided in isolation; False if the partition is not mine."""
        return self._call(
            "SELECT mark_alone(%s, %s, %s)",
            (self.partition, progress.epoch, progress.next_offset),
        )

    def mark_clean_shutdown(self, progress: Progress) -> None:
        """Note that this owner has shut down cleanly."""
        self._call("SELECT leave_partition(%s, %s)", (self.partition, progress.epoch))

    def states(self, users: Collection[str]) -> dict[str, LockState]:
        """The stored states of these accounts; one that has none is left out.

        Raises :class:`UnstorableError` where Postgres cannot hold a name.
        """
        with _refusals(), self._connection() as connection:
            rows = connection.execute(
                "SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms,"
                " blocked_until_ms, blocked_why, last_ms, forget_ms, blocked_by_hand, guesses,"
                " devices FROM lock_states WHERE username = ANY(%b::text[])",
                (BinaryArray("text", list(users)),),
                binary=True,
            )
            return {
                user: LockState(tuple(failures), *rest)._replace(
                    guesses=guesses_of(guesses), devices=devices_of(devices)
                )
                for user, failures, *rest, guesses, devices in rows
            }

    def apply(self, progress: Progress, batch: Batch) -> bool:
        """Commit a batch if the partition is mine and at the batch's start, else write nothing.

        Gives whether it was committed. Raises :class:`UnstorableError` where a column cannot
        hold a value.
        """
        policy = (
            msgspec.json.encode(batch.new_policies[-1]).decode() if batch.new_policies else None
        )
        deleted = batch.deletion
        seal = self._seals.seal(self.partition, progress.generation, progress.policy, batch)
        with _refusals():
            self._make_audit_days(batch)
            applied = self._call(
                APPLY_WITH_DELETION if deleted else APPLY,
                (
                    self.partition,
                    progress.epoch,
                    progress.generation,
                    batch.from_offset,
                    batch.to_offset,
                    fingerprint(batch.last),
                    batch.last.appended_ms,
                    policy,
                    *batch_columns(batch, seal.salts),
                    *(seal.value, seal.first_ms, seal.last_ms, seal.digest),
                    *((deleted.user, deleted.version) if deleted else ()),
                ),
            )
        if applied:
            self._seals.begin(seal.digest, seal.latest_ms)
        return applied

    def enter_layout(self, progress: Progress, layout: int) -> bool:
        """Enter a layout: no record of a smaller one is decided any more.

        False if the partition is not mine. All decisions must have been published before.
        """
        return self._call(
            "SELECT enter_layout(%s, %s, %s, %s)",
            (self.partition, progress.epoch, progress.next_offset, layout),
        )

    def newest_policy(self) -> Policy | None:
        """The newest policy of all partitions, with which a partition without one begins."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT policy FROM partition_progress WHERE policy IS NOT NULL"
                " ORDER BY (policy->>'version')::int DESC LIMIT 1"
            ).fetchone()
        return None if row is None else msgspec.convert(row[0], Policy)

    def audit_rows(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        """The audit rows of one generation in this range of offsets, in log order."""
        with (
            self._connection() as connection,
            connection.cursor(row_factory=kwargs_row(_audit_row)) as cursor,
        ):
            rows = [
                row
                for days in _spans(connection)
                for row in cursor.execute(
                    f"SELECT {AUDIT_COLUMNS} FROM audit WHERE partition = %s AND generation = %s"
                    " AND log_offset >= %s AND log_offset < %s"
                    " AND appended_ms >= %s AND appended_ms < %s",
                    (self.partition, generation, from_offset, to_offset, *days),
                    prepare=False,  # a plan for any days locks all of them
                )
            ]
        return sorted(rows, key=lambda row: row.offset)

    def recent_requests(self, progress: Progress) -> list[Seen]:
        """The decided requests that a later one may repeat (see `deduplication`), in log order."""
        values = {
            "partition": self.partition,
            "generation": progress.generation,
            "from_offset": progress.next_offset - DEDUPLICATION_OFFSETS,
            "from_ms": progress.latest_ms - DEDUPLICATION_MS,
            "nothing": [int(decision) for decision in NOTHING_CAME_OF_IT],
        }
        with self._connection() as connection:
            seen = [
                Seen(*row)
                for first_ms, end_ms in _spans(connection)
                for row in connection.execute(
                    "SELECT id, generation, log_offset, appended_ms FROM audit"
                    " WHERE partition = %(partition)s AND generation = %(generation)s"
                    " AND log_offset >= %(from_offset)s AND decision <> ALL(%(nothing)s)"
                    " AND appended_ms >= %(first_ms)s AND appended_ms < %(end_ms)s"
                    " UNION SELECT id, generation, log_offset, appended_ms FROM audit"
                    " WHERE partition = %(partition)s AND appended_ms >= %(from_ms)s"
                    " AND decision <> ALL(%(nothing)s)"
                    " AND appended_ms >= %(first_ms)s AND appended_ms < %(end_ms)s",
                    values | {"first_ms": first_ms, "end_ms": end_ms},
                    prepare=False,
                    binary=True,
                )
            ]
        return sorted(seen, key=lambda one: (one.generation, one.offset))

    def append_time_ms(self, offset: int) -> int | None:
        """The append time of the latest record that was decided or quarantined at this offset.

        None where retention has deleted it, or there was none.
        """
        here = {"partition": self.partition, "offset": offset}
        with self._connection() as connection:
            taken = connection.execute(
                "SELECT generation, appended_ms FROM quarantine"
                " WHERE partition = %(partition)s AND log_offset = %(offset)s",
                here,
            ).fetchall()
            for first_ms, end_ms in _spans(connection):
                taken += connection.execute(
                    "SELECT generation, appended_ms FROM audit"
                    " WHERE partition = %(partition)s AND log_offset = %(offset)s"
                    # Named, so that the primary key leads to the row, and is not read whole.
                    " AND generation = ANY(ARRAY(SELECT generate_series(1, generation)"
                    " FROM partition_progress WHERE partition = %(partition)s))"
                    " AND appended_ms >= %(first_ms)s AND appended_ms < %(end_ms)s",
                    here | {"first_ms": first_ms, "end_ms": end_ms},
                    prepare=False,
                ).fetchall()
        return int(max(taken)[1]) if taken else None

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection of the last claim; a new one may lead to a database that went back.

        Data read from the former must not be written to the latter, whatever its epoch.
        """
        if self._claimed_on is not None:
            yield self._claimed_on
            return
        with self._pool.connection() as connection:
            yield connection

    def _return_connection(self) -> None:
        """Return the connection to the pool, which replaces a broken one."""
        connection, self._claimed_on = self._claimed_on, None
        if connection is not None:
            self._pool.putconn(connection)

    def _make_audit_days(self, batch: Batch) -> None:
        """Make the audit's partitions for the days of these rows."""
        for day in {row.appended_ms // DAY_MS for row in batch.audit} - self._audit_days:
            with self._connection() as connection:
                connection.execute("SELECT make_audit_day(%s)", (day * DAY_MS,))
            self._audit_days.add(day)

    def _call(self, query: str, values: Sequence[Any]) -> bool:
        with self._connection() as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return bool(row[0])

    def _end_blocker(self, connection: psycopg.Connection[Any]) -> None:
        """Terminate the session that holds the lock on this partition's row, by the row's xmax."""
        held = "partition_progress p JOIN pg_stat_activity a ON a.backend_xid = p.xmax"
        which = f"FROM {held} WHERE p.partition = %s"
        try:
            connection.execute(f"SELECT pg_terminate_backend(a.pid) {which}", (self.partition,))
        except psycopg.errors.InsufficientPrivilege as error:
            row = connection.execute(f"SELECT a.usename, a.pid {which}", (self.partition,))
            role, pid = row.fetchone() or ("another", "gone")
            raise psycopg.errors.InsufficientPrivilege(
                f"a session of the role {role} (its process: {pid}) holds the partition, and "
                f"{connection.info.user} may not end it. Stop the workers' host that it belongs to"
            ) from error


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.DataError as error:
        raise UnstorableError(str(error).strip()) from error


def _spans(connection: psycopg.Connection[Any]) -> list[tuple[int, int]]:
    """All time in parts with few days of the audit each: from, and up to."""
    begins = [
        ms
        for (ms,) in connection.execute(
            "SELECT (extract(epoch FROM to_date(right(relname, 8), 'YYYYMMDD')) * 1000)::bigint"
            "  FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = 'audit'::regclass AND relname ~ '^audit_\\d{8}$' ORDER BY relname"
        )
    ]
    return list(pairwise((-FOREVER, *begins[DAYS_AT_ONCE::DAYS_AT_ONCE], FOREVER)))


_PROGRESS = (
    "epoch, generation, topic_id, next_offset, batch_offset, last_fingerprint, last_ms, policy,"
    " suspect, alone_deaths, layout, coalesce((SELECT partitions FROM topology), 0),"
    " coalesce(layout_to_propose(partition, layout), 0), latest_ms,"
    " (SELECT asked FROM topology), missing"
)


def _progress(row: Sequence[Any]) -> Progress:
    progress = Progress(*row)
    progress = progress._replace(asked=msgspec.convert(progress.asked, Asked | None))
    if progress.policy is None:
        return progress
    return progress._replace(policy=msgspec.convert(progress.policy, Policy))


def _audit_row(**columns: Any) -> AuditRow:
    columns["decision"] = Decision(columns["decision"])
    return AuditRow(**columns)
