"""Applies new migrations, safely also from two processes at once."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from sql.connection import Limits, connection_options, require_session, require_utf8
from sql.roles import ROLES

LOCK = 0x6365727265  # any number, the same in every process
AUDIT_DAYS_AHEAD = 7
OPTIONS = connection_options("migrations")

LOCK_SECONDS = 2.0
"""How long a migration waits for a table, as the commits of logins queue behind it meanwhile."""

RETRY_SECONDS = 5.0
"""Until it is tried again: time for what has queued."""

# A dump comes as another role, the times of whose sessions this one may not be shown.
_HOLDERS = """
SELECT DISTINCT l.virtualtransaction, l.pid, coalesce(nullif(application_name, ''), usename, '?'),
       coalesce(', since ' || date_trunc('second', xact_start), '')
  FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
 WHERE l.granted AND a.datname = current_database() AND l.pid <> pg_backend_pid()
   AND c.relnamespace = current_schema::regnamespace
"""

# Roles belong to all databases of the cluster, so another one may make them at this moment.
_MAKE_ROLE = """
DO $$ BEGIN
    IF to_regrole('{role}') IS NULL
       AND (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user)
    THEN
        CREATE ROLE {role};
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
END $$
"""
_FOLDER = glob.escape(str(files("sql") / "migrations"))  # yoyo takes it for a pattern


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """Connects with libpq's parsing of the URL, because yoyo's knows no socket directory."""

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection:
        connection = psycopg.connect(**dburi.args | OPTIONS, autocommit=True)
        Limits(lock_ms=int(LOCK_SECONDS * 1_000)).set(connection)
        return connection

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:
        """Do nothing: `migrate` has its own lock, and yoyo's row would outlive a killed process."""
        yield


class Migrations(NamedTuple):
    """How far a database is from this Cerrojo, by the names of migrations."""

    pending: list[str]
    """Those that are not applied yet."""
    unknown: list[str]
    """Those that are, by a newer Cerrojo."""


def look(connection: psycopg.Connection[Any]) -> Migrations:
    """What `migrate` would do. Changes nothing. Raises ``psycopg.Error``."""
    known = {migration.id for migration in read_migrations(_FOLDER)}
    there = connection.execute("SELECT to_regclass('_yoyo_migration') IS NOT NULL").fetchone()
    assert there is not None
    applied = (
        {name for (name,) in connection.execute("SELECT migration_id FROM _yoyo_migration")}
        if there[0]
        else set()
    )
    return Migrations(sorted(known - applied), sorted(applied - known))


def migrate(database_url: str, say: Callable[[str], object] = lambda _: None) -> list[str]:
    """Bring the database up to date; the names of the migrations that were applied.

    A session lock makes a second process wait for the first. It ends with its connection, so a
    killed process leaves nothing locked. A migration waits for a table with pauses, so that logins
    go on meanwhile, and `say` is told who has it. Raises ``psycopg.Error``.

    The roles of the parts get their rights (sql/rights.sql), where they are there or can be made,
    and everybody else loses theirs (sql/closed.sql).
    Audit partitions that cannot be made at once are left to retention, and to the workers that
    write into them.
    """
    uri = DatabaseURI(
        "postgresql+psycopg", None, None, None, None, "", conninfo_to_dict(database_url)
    )
    with psycopg.connect(database_url, autocommit=True, **OPTIONS) as connection:
        require_session(connection, database_url)
        require_utf8(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        backend = _Backend(uri, "_yoyo_migration")
        try:
            backend.init_database()
            pending = backend.to_apply(read_migrations(_FOLDER))
            _apply(backend, connection, say)
        finally:
            backend.connection.close()
        _grant_rights(connection)
        with suppress(psycopg.errors.LockNotAvailable):
            connection.execute("SELECT make_audit_partitions(%s)", (AUDIT_DAYS_AHEAD,))
    return [migration.id for migration in pending]


def _apply(
    backend: _Backend, connection: psycopg.Connection[Any], say: Callable[[str], object]
) -> None:
    """Apply what is pending, each migration in a transaction of its own."""
    while True:
        before = connection.execute(_HOLDERS).fetchall()
        try:
            backend.apply_migrations(backend.to_apply(read_migrations(_FOLDER)))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            still = [row for row in connection.execute(_HOLDERS).fetchall() if row in before]
            who = " and ".join(f"session {pid} ({name}{since})" for _, pid, name, since in still)
            say(
                f"The migrations wait for a table, which {who or 'another session'} has locked. "
                "Let that end, or end it by pg_terminate_backend. They are tried again every "
                f"{RETRY_SECONDS:g} s until Ctrl-C, and logins go on meanwhile."
            )
            time.sleep(RETRY_SECONDS)
        else:
            return


def missing_roles(connection: psycopg.Connection[Any]) -> list[str]:
    """Those of `roles.ROLES` that the cluster does not have. Raises ``psycopg.Error``."""
    rows = connection.execute(
        "SELECT role FROM unnest(%s::text[]) AS role WHERE to_regrole(role) IS NULL", (list(ROLES),)
    )
    return [role for (role,) in rows]


def _grant_rights(connection: psycopg.Connection[Any]) -> None:
    """Make the roles where this one may, and give them their rights where all of them are there."""
    connection.execute((files("sql") / "closed.sql").read_bytes())
    for role in ROLES:
        connection.execute(_MAKE_ROLE.format(role=role))
    if not missing_roles(connection):
        with connection.transaction():
            connection.execute((files("sql") / "rights.sql").read_bytes())
