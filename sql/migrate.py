"""Applies what is new among the migrations, safely also from two processes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

LOCK = 0x6365727265  # any number, the same in every process
AUDIT_DAYS_AHEAD = 7


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """Connects by libpq's own reading of the URL: yoyo's knows no socket directory."""

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection:
        return psycopg.connect(**dburi.args, autocommit=True)

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:
        """Nothing to do under `migrate`'s own lock; yoyo's row would outlive a killed process."""
        yield


def migrate(database_url: str) -> list[str]:
    """Bring the database up to date; the names of the migrations that were applied.

    A session lock makes a second process wait for the first. It goes with its
    connection, so a killed process leaves nothing locked. Raises ``psycopg.Error``.

    Audit partitions for which somebody who reads the audit would have to be waited for are left to
    the housekeeping; rows have a place without them.
    """
    uri = DatabaseURI(
        "postgresql+psycopg", None, None, None, None, "", conninfo_to_dict(database_url)
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        backend = _Backend(uri, "_yoyo_migration")
        try:
            backend.init_database()
            pending = backend.to_apply(read_migrations(str(files("sql") / "migrations")))
            backend.apply_migrations(pending)
        finally:
            backend.connection.close()
        with suppress(psycopg.errors.LockNotAvailable):
            connection.execute("SELECT make_audit_partitions(%s)", (AUDIT_DAYS_AHEAD,))
    return [migration.id for migration in pending]
