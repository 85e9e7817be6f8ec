"""What the tests do with Postgres beside using it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    drop = SQL("DROP DATABASE {}").format(Identifier(name))
    try:
        connection.execute(drop + SQL(" WITH (FORCE)"))
    except psycopg.errors.InsufficientPrivilege:
        # An autovacuum worker is not ours to end; without FORCE the server ends it itself.
        connection.execute(drop)
