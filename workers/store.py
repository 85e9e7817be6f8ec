"""What a worker keeps in Postgres, through its pool: one commit a batch, by compare-and-set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import kwargs_row
from psycopg_pool import ConnectionPool

from events.messages import Decision, Policy
from events.positions import Position
from workers.batch import AuditRow, Batch, fingerprint
from workers.columns import APPLY, Column, audit_columns, state_columns, undecodable_columns
from workers.policy import LockState

LOCK_TIMEOUT_MS = 1_000
"""A claim waits this long for somebody's lock before it ends his session."""

STATEMENT_TIMEOUT_MS = 8_000
"""Longer than any batch takes; a statement that hangs must not hang its worker."""


class Progress(NamedTuple):
    """How far a partition has been decided, and by which owner's epoch."""

    epoch: int
    generation: int
    topic_id: str | None
    next_offset: int
    batch_offset: int
    fingerprint: bytes | None
    last_ms: int | None
    policy: Policy | None
    suspect: bool = False
    """Whether the owner before the last one did not finish orderly (see `workers.alone`)."""
    alone_deaths: int = 0
    """How many owners the next record has killed."""
    layout: int = 0
    """The partition decides no record of a smaller one (see `workers.layout`)."""
    used: int = 0
    """How many partitions were in use when this was read: the layout in force."""
    to_propose: int = 0
    """The layout that is to be put into the log now; 0 if none is."""

    @property
    def position(self) -> Position:
        """The position of the next record."""
        return Position(self.generation, self.next_offset)


class UnstorableError(Exception):
    """Postgres refuses a value of these records, whoever asks and whenever."""


class Store:
    """One partition's side of the database. Every method may raise ``psycopg.Error``."""

    def __init__(self, database_url: str, partition: int) -> None:
        self.partition = partition
        self.excused = False
        """Whether the last owner's death says nothing of the record that it was at."""
        self._claimed_on: psycopg.Connection[Any] | None = None
        # A worker does one thing at a time: one connection, opened in this process. A claim
        # takes it, checked, and keeps it: whatever fails on it is answered by claiming again.
        self._pool = ConnectionPool(
            database_url,
            min_size=1,
            max_size=1,
            num_workers=1,
            open=False,
            timeout=3.0,
            reconnect_timeout=0,
            max_lifetime=86_400.0,  # a new connection costs a claim
            check=ConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": 3,
                "application_name": "cerrojo worker",
                "options": f"-c lock_timeout={LOCK_TIMEOUT_MS}"
                f" -c statement_timeout={STATEMENT_TIMEOUT_MS}",
                "keepalives_idle": 5,
                "tcp_user_timeout": 10_000,
            },
        )

    def open(self) -> None:
        """Start connecting; the first use waits for it."""
        self._pool.open()

    def warm(self) -> None:
        """Wait for the connection, so that a claim does not have to."""
        self.progress()

    def close(self) -> None:
        """Give the connection back to the server."""
        self._let_go()
        self._pool.close(timeout=1.0)

    def claim(self, owner: str) -> Progress:
        """Own the partition from now on: the former owner's commits fail from here."""
        self._let_go()
        connection = self._claimed_on = self._pool.getconn()
        while True:
            with suppress(psycopg.errors.LockNotAvailable):
                # The row as this very claim left it: a look in a second statement could
                # find the next owner's epoch, and take it for this one's.
                row = connection.execute(
                    f"SELECT {_PROGRESS} FROM claim_partition(%s, %s, %s)",
                    (self.partition, owner, self.excused),
                ).fetchone()
                assert row is not None
                return _progress(row)
            self._end_blocker(connection)

    def progress(self) -> Progress | None:
        """The partition's progress as it is stored; None before the first claim."""
        with self._connection() as connection:
            row = connection.execute(
                f"SELECT {_PROGRESS} FROM partition_progress WHERE partition = %s",
                (self.partition,),
            ).fetchone()
        return None if row is None else _progress(row)

    def move(self, progress: Progress, missing: int) -> bool:
        """Go on at this progress's generation, topic and offset; False if it is not mine."""
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

    def mark_alone(self, progress: Progress) -> bool:
        """Note that the next record is decided alone from now on; False if it is not mine."""
        return self._call(
            "SELECT mark_alone(%s, %s, %s)",
            (self.partition, progress.epoch, progress.next_offset),
        )

    def leave(self, progress: Progress) -> None:
        """Say that this owner has finished orderly."""
        self._call("SELECT leave_partition(%s, %s)", (self.partition, progress.epoch))

    def states(self, users: Collection[str]) -> dict[str, LockState]:
        """The stored states of those among these accounts that have one.

        Raises :class:`UnstorableError` for a name that none can have.
        """
        with _refusals(), self._connection() as connection:
            rows = connection.execute(
                "SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms,"
                " blocked_until_ms, blocked_why, last_ms"
                " FROM lock_states WHERE username = ANY(%b::text[])",
                (Column("text", list(users)),),
                binary=True,
            )
            return {user: LockState(tuple(failures), *rest) for user, failures, *rest in rows}

    def apply(self, progress: Progress, batch: Batch) -> bool:
        """Commit a batch if the partition is mine and stands at its start, else write nothing.

        Raises :class:`UnstorableError` for values that no column can hold.
        """
        policy = (
            msgspec.json.encode(batch.policy).decode()
            if batch.policy_changed and batch.policy
            else None
        )
        with _refusals():
            return self._call(
                APPLY,
                (
                    self.partition,
                    progress.epoch,
                    progress.generation,
                    batch.from_offset,
                    batch.to_offset,
                    fingerprint(batch.last),
                    batch.last.appended_ms,
                    policy,
                    *state_columns(batch),
                    *audit_columns(batch.audit),
                    *undecodable_columns(batch),
                ),
            )

    def enter_layout(self, progress: Progress, layout: int) -> bool:
        """Decide nothing of a smaller layout any more; False if the partition is not mine.

        All that was decided must have been published.
        """
        return self._call(
            "SELECT enter_layout(%s, %s, %s, %s)",
            (self.partition, progress.epoch, progress.next_offset, layout),
        )

    def newest_policy(self) -> Policy | None:
        """The newest policy of any partition, which one that has none begins with."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT policy FROM partition_progress WHERE policy IS NOT NULL"
                " ORDER BY (policy->>'version')::int DESC LIMIT 1"
            ).fetchone()
        return None if row is None else msgspec.convert(row[0], Policy)

    def decided(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        """The decisions of one generation in this range of offsets, in log order."""
        with (
            self._connection() as connection,
            connection.cursor(row_factory=kwargs_row(_audit_row)) as cursor,
        ):
            return cursor.execute(
                "SELECT appended_ms, log_offset AS offset, id, kind, username AS user,"
                " right_password AS right, decision, until_ms, change, policy_version,"
                " reply_partition FROM audit WHERE partition = %s AND generation = %s"
                " AND log_offset >= %s AND log_offset < %s ORDER BY log_offset",
                (self.partition, generation, from_offset, to_offset),
            ).fetchall()

    def offsets_of_ids(self, progress: Progress, from_offset: int) -> dict[bytes, int]:
        """The ids of what was decided in this generation from there on, in log order."""
        with self._connection() as connection:
            return dict(
                connection.execute(
                    "SELECT id, log_offset FROM audit WHERE partition = %s AND generation = %s"
                    " AND log_offset >= %s AND log_offset < %s ORDER BY log_offset",
                    (self.partition, progress.generation, from_offset, progress.next_offset),
                    binary=True,
                ).fetchall()
            )

    def appended_at(self, offset: int) -> int | None:
        """The append time of the latest record that was taken at this offset, if it is kept."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT appended_ms FROM ("
                " SELECT generation, appended_ms FROM audit"
                "  WHERE partition = %(p)s AND log_offset = %(o)s UNION ALL"
                " SELECT generation, appended_ms FROM quarantine"
                "  WHERE partition = %(p)s AND log_offset = %(o)s"
                ") AS taken ORDER BY generation DESC LIMIT 1",
                {"p": self.partition, "o": offset},
            ).fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection of the last claim; a new one may lead to a database that went back.

        What was read from the one must not be written to the other, whatever the epoch there.
        """
        if self._claimed_on is not None:
            yield self._claimed_on
            return
        with self._pool.connection() as connection:
            yield connection

    def _let_go(self) -> None:
        """Give the connection back to the pool, which makes a new one if it is broken."""
        connection, self._claimed_on = self._claimed_on, None
        if connection is not None:
            self._pool.putconn(connection)

    def _call(self, query: str, values: Sequence[Any]) -> bool:
        with self._connection() as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return bool(row[0])

    def _end_blocker(self, connection: psycopg.Connection[Any]) -> None:
        """End the session that holds the lock on this partition's row: the row's xmax is its."""
        connection.execute(
            "SELECT pg_terminate_backend(a.pid) FROM partition_progress p"
            " JOIN pg_stat_activity a ON a.backend_xid = p.xmax WHERE p.partition = %s",
            (self.partition,),
        )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.DataError as error:
        raise UnstorableError(str(error).strip()) from error


_PROGRESS = (
    "epoch, generation, topic_id, next_offset, batch_offset, last_fingerprint, last_ms, policy,"
    " suspect, alone_deaths, layout, coalesce((SELECT partitions FROM topology), 0),"
    " coalesce(layout_to_propose(partition, layout), 0)"
)


def _progress(row: Sequence[Any]) -> Progress:
    progress = Progress(*row)
    if progress.policy is None:
        return progress
    return progress._replace(policy=msgspec.convert(progress.policy, Policy))


def _audit_row(**columns: Any) -> AuditRow:
    columns["decision"] = Decision(columns["decision"])
    return AuditRow(**columns)
