"""Counts what the policy that is tried would have decided, and keeps the figures beside it.

A thread of the relay that leads reads the audit as it grows, and decides it once more by the policy
that is tried and by the one in force. What is in memory follows from the audit: a successor reads
it again from the trial's begin, and the figures stand as they were until it has caught up. So do
they where another policy comes into force, or the database goes back.

Time and memory are bounded. Of what it takes to decide some rows, as much time is left to others.
Where more than `MOST` accounts have something against them, only one account in two is counted, or
in four, and so on, from the begin again; the figures are then estimates, and say so.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import psycopg
import structlog
from psycopg.types.json import Jsonb

from events.messages import Decision, Policy
from processes.stoppable_thread import StoppableThread
from sql.connection import Limits, connection_options
from sql.shadow_figures import Counted
from workers.decision.trial import COLUMNS, DECIDED, Figures, Trial

logger = structlog.get_logger()

POLL_SECONDS = 2.0
"""Between two looks for something new."""

RETRY_SECONDS = 5.0
"""After a failure of Postgres."""

STATEMENT_MS = 30_000

ROWS = 5_000
"""Rows that are read at once."""

MOST = 100_000
"""Accounts with something against them that are in memory for each policy: some 50 MB."""

LARGEST_SHARE = 65_536
"""Of so many accounts one is counted at least."""

DAY_MS = 86_400_000
"""So much earlier than its latest row a partition's next one may be, as where brokers' clocks
differ. It spares the tables of all other days."""


class Cursor(NamedTuple):
    """How far a partition's decisions are read, or made."""

    generation: int
    offset: int


BEGIN = Cursor(0, 0)


class Tried(NamedTuple):
    """What is compared."""

    shadow: Policy
    since_ms: int
    in_force: Policy


class Progress(NamedTuple):
    """What there is to compare, as of a moment."""

    tried: Tried
    as_of_ms: int
    decided: dict[int, Cursor]


class Count:
    """One trial, as far as it is counted."""

    def __init__(self, tried: Tried, one_of: int = 1) -> None:
        """Nothing is counted yet. Of so many accounts one is to be."""
        self.tried = tried
        self.one_of = one_of
        self._shadow, self._in_force = Trial(tried.shadow), Trial(tried.in_force)
        self._as_it_was = Figures()
        self._attempts = 0
        self._read: dict[int, Cursor] = {}
        self._latest: dict[int, int] = {}

    def went_back(self, decided: dict[int, Cursor]) -> bool:
        """Whether something was read that the database does not have any more."""
        return any(
            number not in decided or cursor > decided[number]
            for number, cursor in self._read.items()
        )

    def take_some(self, database: psycopg.Connection[Any], there: Progress) -> bool:
        """Count the next rows of some partition; whether there may be more up to this progress.

        An account may have come from another partition with a generation: nothing is read of one
        before all of those before it. Of those of a generation, the one that is furthest back is
        read, as nothing is forgotten before all of them are so far.
        """
        behind = self._behind(there)
        if not behind:
            return False
        generation, latest, number = min(behind)
        since, to = self._read.get(number, BEGIN), there.decided[number]
        rows = database.execute(
            f"SELECT {COLUMNS}, log_offset, change, decision"
            "  FROM audit WHERE partition = %s AND generation = %s AND log_offset >= %s"
            "   AND (generation, log_offset) < (%s, %s) AND appended_ms >= %s"
            f"  AND {DECIDED} ORDER BY log_offset LIMIT %s",
            (
                *(number, generation, since.offset, *to),
                *(max(self.tried.since_ms, min(latest, there.as_of_ms) - DAY_MS), ROWS),
            ),
            binary=True,
        ).fetchall()
        self._count([row for row in rows if self._counts(row[0])])
        if len(rows) == ROWS:
            self._read[number] = Cursor(generation, rows[-1][7] + 1)
        else:
            self._read[number] = to if generation == to.generation else Cursor(generation + 1, 0)
        self._latest[number] = max([latest, *(row[1] for row in rows)])
        return True

    def _behind(self, there: Progress) -> list[tuple[int, int, int]]:
        """The partitions with something to be read: each one's generation, latest row, number."""
        return [
            (self._read.get(number, BEGIN).generation, self._latest.get(number, 0), number)
            for number, to in there.decided.items()
            if self._read.get(number, BEGIN) < to
        ]

    def _counts(self, user: str) -> bool:
        # By bits that say nothing of the partition.
        return (zlib.crc32(user.encode()) >> 16) % self.one_of == 0

    def is_too_large(self, there: Progress) -> bool:
        """Whether it takes too much memory, also without what is forgotten by all partitions."""
        by_ms = min((latest for _, latest, _ in self._behind(there)), default=there.as_of_ms)
        for trial in (self._shadow, self._in_force):
            if len(trial) > MOST:
                trial.forget(by_ms)
        return max(len(self._shadow), len(self._in_force)) > MOST

    def figures(self, as_of_ms: int) -> Counted:
        """What is counted, for all accounts."""
        figures = (self._as_it_was, self._in_force.figures, self._shadow.figures)
        return Counted(
            *(self.tried.since_ms, as_of_ms, self.one_of, self.tried.in_force.version),
            self._attempts * self.one_of,
            *({k: v * self.one_of for k, v in each._asdict().items()} for each in figures),
        )

    def _count(self, rows: list[tuple[Any, ...]]) -> None:
        attempts = [row[:7] for row in rows]
        self._shadow.take(attempts)
        self._in_force.take(attempts)
        behind_a_block = [row[2] for row in rows if row[9] == Decision.BLOCKED]
        self._as_it_was += Figures(
            sum(row[8] == 1 and row[2] is not None for row in rows),
            behind_a_block.count(True),
            behind_a_block.count(False),
        )
        self._attempts += len(rows)


class ShadowCounter:
    """Counts for as long as its process leads."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._thread = StoppableThread("shadow counter", self._run)
        self._thread.start()

    def close(self) -> None:
        """Count no further."""
        self._thread.stop()

    def _run(self) -> None:
        count, failed = None, False
        while not self._thread.stopping.is_set():
            try:
                with psycopg.connect(
                    self._database_url, autocommit=True, **connection_options("shadow")
                ) as database:
                    Limits(statement_ms=STATEMENT_MS).set(database)
                    while not self._thread.stopping.is_set():
                        count = step(database, count, self._thread.stopping.wait)
                        failed = False
                        self._thread.stopping.wait(POLL_SECONDS)
            except Exception as error:  # a thread that ends would be missed for good
                if not failed:
                    logger.warning(
                        "What is tried is not counted for now",
                        reason=str(error).strip() or type(error).__name__,
                    )
                failed = True
                self._thread.stopping.wait(RETRY_SECONDS)


def step(
    database: psycopg.Connection[Any],
    count: Count | None,
    pause: Callable[[float], bool] = lambda _seconds: False,
) -> Count | None:
    """Count what there is, write down the figures, and give the count to go on with.

    ``pause`` is called with how long it may last; true: nothing is wanted any more. Raises
    ``psycopg.Error``; the same count can go on then.
    """
    there = progress(database)
    if there is None:
        return None
    if count is None or count.tried != there.tried or count.went_back(there.decided):
        count = Count(there.tried)
    began = time.monotonic()
    while count.take_some(database, there):
        if count.is_too_large(there) and count.one_of < LARGEST_SHARE:
            count = Count(there.tried, 2 * count.one_of)
        if pause(time.monotonic() - began):
            return count
        began = time.monotonic()
    database.execute(
        "UPDATE shadow_policy SET figures = %s WHERE since_ms = %s",
        (Jsonb(msgspec.to_builtins(count.figures(there.as_of_ms))), there.tried.since_ms),
    )
    return count


def progress(database: psycopg.Connection[Any]) -> Progress | None:
    """What there is to compare now; None where nothing is tried. Raises ``psycopg.Error``."""
    rows = database.execute(
        "SELECT partition, generation, next_offset, p.policy, s.policy, s.since_ms,"
        "       (extract(epoch FROM statement_timestamp()) * 1000)::bigint"
        "  FROM partition_progress p, shadow_policy s, topology"
        " WHERE partition < partitions ORDER BY partition"
    ).fetchall()
    policies = [msgspec.convert(row[3], Policy) for row in rows if row[3] is not None]
    if not policies:
        return None
    *_, shadow, since_ms, now_ms = rows[0]
    newest = max(policies, key=lambda policy: policy.version)
    tried = Tried(msgspec.convert(shadow, Policy), since_ms, newest)
    return Progress(tried, now_ms, {n: Cursor(generation, to) for n, generation, to, *_ in rows})
