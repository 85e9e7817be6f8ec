"""How many partitions are to have a worker, and how many other hosts have workers.

Both come from Postgres. A host is present by a shared advisory lock, which ends with its
connection, however the host ends. Kafka would know the hosts, too; but librdkafka's requests to a
group's coordinator abort the process now and then, where a broker comes back at that moment
[measured: twice in 250 faults].
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import structlog

from processes.stoppable_thread import StoppableThread
from sql.connection import Limits, connection_options

POLL_SECONDS = 1.0
LEAVING_POLL_SECONDS = 0.1

PRESENCE_LOCK = 0x686F7374
"""The key of the lock that all hosts share: any number of 32 bits, the same on each."""

logger = structlog.get_logger()


class TopologyPoller:
    """Polls in a thread of its own, so that a slow database keeps no worker waiting."""

    def __init__(self, database_url: str, partitions: int) -> None:
        self.partitions = partitions
        """The number in use or wanted, whichever is larger (see `partition.repartitioning`)."""
        self.other_hosts = 0
        """Hosts that have workers and do not shut down, without this one, when last polled."""
        self._database_url = database_url
        self._leaving = threading.Event()
        self._absent = threading.Event()
        self._thread = StoppableThread("topology", self._run)

    def start(self) -> None:
        """Start polling. This host is present from then on."""
        self._thread.start()

    def leave(self) -> None:
        """Be present no more, and return when `other_hosts` is new, or Postgres does not answer.

        Hosts that shut down at the same time do not count on each other then.
        """
        self._leaving.set()
        self._absent.wait(2 * POLL_SECONDS)

    def stop(self) -> None:
        """Stop polling."""
        self._thread.stop()

    def _run(self) -> None:
        while not self._thread.stopping.is_set():
            try:
                self._poll()
            except psycopg.Error as error:
                # Only debug: the workers log that the database is away.
                logger.debug("The topology could not be read", error=str(error).strip())
                self._thread.stopping.wait(POLL_SECONDS)

    def _poll(self) -> None:
        with psycopg.connect(
            self._database_url,
            autocommit=True,
            **connection_options("topology"),
        ) as database:
            Limits(statement_ms=5_000).set(database)
            present = False
            while not self._thread.stopping.is_set():
                if present == self._leaving.is_set():
                    call = "pg_advisory_unlock_shared" if present else "pg_advisory_lock_shared"
                    database.execute(f"SELECT {call}(%s)", (PRESENCE_LOCK,))
                    present = not present
                self.partitions = max(self.partitions, count_partitions(database) or 0)
                self.other_hosts = _count_other_hosts(database)
                if self._leaving.is_set() and not present:
                    self._absent.set()
                    self._thread.stopping.wait(LEAVING_POLL_SECONDS)
                else:
                    self._leaving.wait(POLL_SECONDS)


def count_partitions(database: psycopg.Connection[Any]) -> int | None:
    """The number of partitions in use or wanted; None before `python -m events` has set it."""
    row = database.execute("SELECT greatest(partitions, wanted) FROM topology").fetchone()
    return None if row is None else int(row[0])


def _count_other_hosts(database: psycopg.Connection[Any]) -> int:
    row = database.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND granted AND pid <> pg_backend_pid()",
        (PRESENCE_LOCK,),
    ).fetchone()
    return 0 if row is None else int(row[0])
