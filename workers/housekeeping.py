"""What is kept for a time and then let go: audit partitions, old rows, forgotten lock states.

Every host's supervisor does it, at its start and every hour. They wait for nobody: whoever
comes while another is at it leaves it to that one.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import psycopg
import structlog

from sql.migrate import AUDIT_DAYS_AHEAD
from workers import metrics

EVERY_SECONDS = 3_600.0
AGAIN_SECONDS = 60.0
"""After a failure, as when somebody had locked the audit for longer than one waits."""

LOCK = 0x686F757365
"""Any number, the same on every host."""

ROWS_AT_ONCE = 1_000
"""Few enough that no worker waits for the locks of one statement."""

MOST_ROUNDS = 1_000
"""Statements of one kind in one run: a million rows; what is left waits for the next run."""

log = structlog.get_logger()


class LetGo(NamedTuple):
    """What one run has deleted."""

    audit_partitions: int = 0
    old_rows: int = 0
    lock_states: int = 0


def keep_house(database_url: str, audit_days: int) -> LetGo | None:
    """Make the audit's next partitions and let go what is due; None if another host is at it.

    ``audit_days`` of 0 keeps the audit and the quarantine forever. May raise ``psycopg.Error``;
    ``LockNotAvailable`` only after all has been done that needs no lock of the audit.
    """
    with psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=5,
        application_name="cerrojo housekeeping",
        options="-c statement_timeout=60000",
        tcp_user_timeout=30_000,
    ) as database:
        if not _one(database, "SELECT pg_try_advisory_lock(%s)", LOCK):
            return None
        in_use: psycopg.errors.LockNotAvailable | None = None
        partitions = rows = 0
        try:
            _one(database, "SELECT make_audit_partitions(%s)", AUDIT_DAYS_AHEAD)
            if audit_days:
                partitions = _until_few(
                    database, "audit_partitions", 1, "SELECT drop_old_audit(%s)::int", audit_days
                )
        except psycopg.errors.LockNotAvailable as error:
            in_use = error  # somebody reads the audit, as for a backup; there are days to spare
        if audit_days:
            rows = _until_few(
                database,
                "old_rows",
                ROWS_AT_ONCE,
                "SELECT delete_old_rows(%s, %s)",
                audit_days,
                ROWS_AT_ONCE,
            )
        states = _until_few(
            database, "lock_states", ROWS_AT_ONCE, "SELECT forget_lock_states(%s)", ROWS_AT_ONCE
        )
        if in_use is not None:
            raise in_use
        return LetGo(partitions, rows, states)


class Housekeeper:
    """Keeps house in a thread of its own, so that a slow database keeps no worker waiting."""

    def __init__(self, database_url: str, audit_days: int) -> None:
        self._database_url = database_url
        self._audit_days = audit_days
        self._stop = threading.Event()
        # As a daemon it holds up no exit: each of its statements is whole or not at all.
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin with the first run."""
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another run."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._keep_house()):
            pass

    def _keep_house(self) -> float:
        """One run; seconds until the next."""
        try:
            let_go = keep_house(self._database_url, self._audit_days)
        except psycopg.Error as error:
            log.warning(
                "Not all of the housekeeping could be done; it is tried again in a minute",
                error=str(error).strip(),
            )
            return AGAIN_SECONDS
        if let_go is not None and any(let_go):
            log.info("Old data is let go", **let_go._asdict())
        return EVERY_SECONDS


def _until_few(
    database: psycopg.Connection[Any], kind: str, many: int, query: str, *values: object
) -> int:
    """Say it again as long as it did as much as it might; the sum."""
    total = 0
    for _ in range(MOST_ROUNDS):
        count = _one(database, query, *values)
        total += count
        metrics.LET_GO.labels(kind).inc(count)  # at once: what comes after it may fail
        if count < many:
            break
    return total


def _one(database: psycopg.Connection[Any], query: str, *values: object) -> int:
    row = database.execute(query, values).fetchone()
    assert row is not None
    return int(row[0] or 0)
