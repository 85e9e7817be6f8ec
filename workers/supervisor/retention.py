"""Retention: deletes old audit partitions, old rows and forgotten lock states.

It also takes the names of deleted accounts out of the audit, where one commit could not, and counts
the forms of the accounts' password hashes anew, for the gateways' decoys.

Every host's supervisor runs it at its start and every hour, sooner where a run left something. A
host that finds another host's run under way skips its own and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
import structlog

from processes.stoppable_thread import StoppableThread
from sql.connection import Limits, connection_options
from sql.migrate import AUDIT_DAYS_AHEAD
from workers import metrics

INTERVAL_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
"""The pause after a failure, such as an audit that was locked for longer than a run waits, and
after a run that left something."""

LOCK = 0x686F757365
"""The key of the advisory lock: any number, the same on every host."""

BATCH_ROWS = 1_000
"""Rows of one statement, few enough that no worker waits for its locks."""

MAX_ROUNDS = 1_000
"""Statements of one kind in one run: a million rows. The rest is left to the next run."""

logger = structlog.get_logger()


class RetentionResult(NamedTuple):
    """The numbers of what one run has deleted."""

    audit_partitions: int = 0
    old_rows: int = 0
    lock_states: int = 0
    ended_blocks: int = 0
    erased_names: int = 0


def apply_retention(database_url: str, audit_days: int) -> RetentionResult | None:
    """Create the audit's next partitions and delete what is due; None if another host does it now.

    ``audit_days`` of 0 keeps the audit and the quarantine forever. Every step is tried, whichever
    of them fail. Raises the first ``psycopg.Error`` of them at the end.
    """
    with _exclusive_connection(database_url) as database:
        if database is None:
            return None
        errors: list[psycopg.Error] = []
        partitions = rows = states = blocks = names = 0
        with _keeping(errors):  # first, as somebody was told that their name goes within the hour
            names = _repeat(
                database, "erased_names", BATCH_ROWS, "SELECT erase_deleted(%s)", BATCH_ROWS
            )
        with _keeping(errors):
            _one(database, "SELECT make_audit_partitions(%s)", AUDIT_DAYS_AHEAD)
        if audit_days:
            # A long read, such as a backup, may have the audit locked; there are days to spare.
            with _keeping(errors):
                partitions = _repeat(
                    database, "audit_partitions", 1, "SELECT drop_old_audit(%s)::int", audit_days
                )
            with _keeping(errors):
                rows = _repeat(
                    database,
                    "old_rows",
                    BATCH_ROWS,
                    "SELECT delete_old_rows(%s, %s)",
                    audit_days,
                    BATCH_ROWS,
                )
        with _keeping(errors):
            states = _repeat(
                database, "lock_states", BATCH_ROWS, "SELECT forget_lock_states(%s)", BATCH_ROWS
            )
        with _keeping(errors):
            blocks = _repeat(
                database, "ended_blocks", BATCH_ROWS, "SELECT clear_ended_blocks(%s)", BATCH_ROWS
            )
        with _keeping(errors):
            try:
                database.execute("SELECT count_password_forms()")
            except psycopg.errors.QueryCanceled:  # so many accounts that it takes over a minute
                logger.warning(
                    "The forms of password hashes could not be counted in time; the gateways go "
                    "by the last count. Run `SELECT count_password_forms()` by hand, or from cron"
                )
        if errors:
            raise errors[0]
        return RetentionResult(partitions, rows, states, blocks, names)


class RetentionThread:
    """Runs retention in a thread of its own, so that a slow database keeps no worker waiting."""

    def __init__(self, database_url: str, audit_days: int) -> None:
        self._database_url = database_url
        self._audit_days = audit_days
        # Each statement is atomic, so the thread's end need not be awaited.
        self._thread = StoppableThread("retention", self._run)

    def start(self) -> None:
        """Start with the first run."""
        self._thread.start()

    def stop(self) -> None:
        """Start no further run."""
        self._thread.stop()

    def _run(self) -> None:
        while not self._thread.stopping.wait(self._run_once()):
            pass

    def _run_once(self) -> float:
        """Run retention once; the seconds until the next run."""
        try:
            deleted = apply_retention(self._database_url, self._audit_days)
        except psycopg.Error as error:
            logger.warning(
                "Retention could not delete everything; it runs again in a minute",
                error=str(error).strip(),
            )
            return RETRY_SECONDS
        if deleted is not None and any(deleted):
            logger.info("Old data was deleted", **deleted._asdict())
            if max(deleted) >= MAX_ROUNDS * BATCH_ROWS:
                return RETRY_SECONDS
        return INTERVAL_SECONDS


@contextmanager
def _exclusive_connection(database_url: str) -> Iterator[psycopg.Connection[Any] | None]:
    """A connection while no other host's run is under way; None where one is."""
    with psycopg.connect(
        database_url,
        autocommit=True,
        **connection_options("retention"),
    ) as database:
        Limits(statement_ms=60_000).set(database)
        if not _one(database, "SELECT pg_try_advisory_lock(%s)", LOCK):
            yield None
            return
        try:
            yield database
        finally:
            # The end of the session would do it, too, but only when the server comes to it.
            with suppress(psycopg.Error):
                database.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


@contextmanager
def _keeping(errors: list[psycopg.Error]) -> Iterator[None]:
    """Go on after a step that fails, with its error in the list."""
    try:
        yield
    except psycopg.Error as error:
        errors.append(error)


def _repeat(
    database: psycopg.Connection[Any], kind: str, full: int, query: str, *values: object
) -> int:
    """Repeat the statement as long as it deletes a full batch; the total number."""
    total = 0
    for _ in range(MAX_ROUNDS):
        count = _one(database, query, *values)
        total += count
        metrics.DELETED.labels(kind).inc(count)  # at once: the next statement may fail
        if count < full:
            break
    return total


def _one(database: psycopg.Connection[Any], query: str, *values: object) -> int:
    row = database.execute(query, values).fetchone()
    assert row is not None
    return int(row[0] or 0)
