"""How many partitions are to have a worker: what Postgres says, asked again and again."""

from __future__ import annotations

import threading

import psycopg
import structlog

EVERY_SECONDS = 1.0

log = structlog.get_logger()


class Growth:
    """Asks in a thread of its own, so that a slow database keeps no worker waiting."""

    def __init__(self, database_url: str, partitions: int) -> None:
        self.partitions = partitions
        """Those that are used, and those that are to be (see `workers.layout`)."""
        self._database_url = database_url
        self._stop = threading.Event()
        # As a daemon it holds up no exit: it only reads.
        self._thread = threading.Thread(target=self._run, name="growth", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Do not ask again."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                self._ask()
            except psycopg.Error as error:
                # The workers say loudly enough that the database is away.
                log.debug("The partitions could not be counted", error=str(error).strip())

    def _ask(self) -> None:
        with psycopg.connect(
            self._database_url,
            autocommit=True,
            connect_timeout=5,
            application_name="cerrojo growth",
            options="-c statement_timeout=5000",
            tcp_user_timeout=10_000,
        ) as database:
            while not self._stop.is_set():
                self.partitions = max(self.partitions, count_partitions(database) or 0)
                self._stop.wait(EVERY_SECONDS)


def count_partitions(database: psycopg.Connection[tuple[object, ...]]) -> int | None:
    """How many partitions are used or to be used; None before `python -m events` settled it."""
    row = database.execute("SELECT greatest(partitions, wanted) FROM topology").fetchone()
    return None if row is None else int(str(row[0]))
