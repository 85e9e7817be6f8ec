"""How Cerrojo's processes connect to Postgres, also through a pooler.

A pooler that gives a connection the same session until it ends is as good as Postgres itself. One
that gives each transaction another session is refused: a worker's compare-and-set relies on what it
read from the very session that it writes to, since a new one may lead to a database that went back;
hosts are known to each other by locks that end with their sessions; and the limits of one process
would be left to others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection

LOOKS = 3
"""At a pooler; other clients may have taken a session at the moment of one of them."""

_PID = "SELECT pg_backend_pid()"


class PoolerError(psycopg.OperationalError):
    """A pooler before Postgres does not keep sessions; the message says what to do."""


class EncodingError(psycopg.OperationalError):
    """A database cannot hold every name; the message says how to make one that can."""


class Limits(NamedTuple):
    """How long a session lets things take, in milliseconds; 0 is without limit."""

    statement_ms: int = 0
    """A statement that takes longer fails."""
    lock_ms: int = 0
    """So does one that waits longer for a lock."""
    idle_in_transaction_ms: int = 0
    """And a transaction between whose statements more passes."""

    def set(self, connection: Connection[Any]) -> None:
        """Set them in this session. It has to be in autocommit mode. Raises ``psycopg.Error``."""
        connection.execute(_SET_LIMITS, self)

    async def set_async(self, connection: AsyncConnection[Any]) -> None:
        """The same, for asyncio."""
        await connection.execute(_SET_LIMITS, self)


# Not by the option `options` of a new connection, which poolers refuse or ignore.
_SET_LIMITS = "SELECT " + ", ".join(
    f"set_config('{name}', %s::bigint::text, false)"
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
)


def connection_options(name: str) -> dict[str, Any]:
    """Options of `psycopg.connect` with which a dead server is noticed within seconds.

    pg_stat_activity shows `name`. Text is UTF-8, whatever the role or the environment has as its
    default.
    """
    return {
        "application_name": f"cerrojo {name}",
        "client_encoding": "utf8",
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def require_session(connection: Connection[Any], database_url: str) -> None:
    """Raise :class:`PoolerError` where this connection is not one session of Postgres.

    `connection` is a new one to `database_url`. Raises ``psycopg.Error``.
    """
    autocommit, connection.autocommit = connection.autocommit, True
    # A pooler has made up the number that it gave when the connection began.
    if _pid(connection) != connection.info.backend_pid and _wanders(connection, database_url):
        raise PoolerError(
            "a pooler gives each transaction another session of Postgres, and Cerrojo needs one "
            "session for each connection. Set pool_mode = session in PgBouncer for this database "
            "(or its like in another pooler), or let DATABASE_URL name Postgres itself"
        )
    connection.autocommit = autocommit


def require_utf8(connection: Connection[Any]) -> None:
    """Raise :class:`EncodingError` where the database is in another encoding.

    Raises ``psycopg.Error``.
    """
    row = connection.execute("SELECT current_database(), current_setting('server_encoding')")
    name, encoding = row.fetchone() or ("", "")
    if encoding != "UTF8":
        raise EncodingError(
            f"the database {name!r} has the encoding {encoding}, which cannot hold every name. "
            "Make another one by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, bring "
            "what is in this one there by pg_dump, and let DATABASE_URL name it"
        )


def _wanders(connection: Connection[Any], database_url: str) -> bool:
    options = connection_options("look at the pooler")
    with psycopg.connect(database_url, autocommit=True, **options) as other:
        for _ in range(LOOKS):
            first = _pid(connection)
            # A pooler gives the session that was used last, unless somebody else was faster ...
            if _pid(other) == first:
                return True
            try:
                with other.transaction():  # ... and not one that is in a transaction.
                    if _pid(other) == first or _pid(connection) != first:
                        return True
            except psycopg.errors.ProtocolViolation:  # it keeps not even transactions
                return True
    return False


def _pid(connection: Connection[Any]) -> int:
    # Unprepared: a session that does not know of a preparation would refuse it.
    row = connection.execute(_PID, prepare=False).fetchone()
    assert row is not None
    return int(row[0])
