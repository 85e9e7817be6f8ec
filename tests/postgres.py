"""What the tests do with Postgres beside using it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

TRIES = 5
"""Who is ended may have connected again before the database is gone."""


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    for left in reversed(range(TRIES)):
        # Not WITH (FORCE): an autovacuum worker is not ours to end; the server ends it itself.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND usename = current_user",
            (name,),
        )
        try:
            connection.execute(SQL("DROP DATABASE {}").format(Identifier(name)))
        except psycopg.errors.ObjectInUse:
            if not left:
                raise
        else:
            return
