"""Actions of the tests on Postgres, beside using it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from local.postgres import OWNER
from local.servers import Servers
from sql.roles import GATEWAY, OPERATOR, WORKERS

TRIES = 5
"""A session that is ended may have connected again before the database is gone."""


EMPTY = "template1"
"""The database of Postgres of which new ones are copies."""


def as_role(database_url: str, role: str) -> str:
    """The same database for another role. The file of the URL has the passwords of all."""
    return database_url.replace(f"//{OWNER}@", f"//{role}@", 1)


def by_role(program: str, database_url: str) -> dict[str, str]:
    """How `gateway` and `workers` come to this database of the owner's, each by its own role."""
    if program.startswith("workers"):
        return {"DATABASE_URL": as_role(database_url, WORKERS)}
    return {
        "DATABASE_URL": as_role(database_url, GATEWAY),
        "CERROJO_OPERATOR_DATABASE_URL": as_role(database_url, OPERATOR),
    }


def create_database(connection: psycopg.Connection[Any], name: str, copied: str = EMPTY) -> None:
    """Make a database, as a copy of one to which nobody is connected."""
    template = Identifier(copied)
    connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), template))


@contextmanager
def temporary_database(servers: Servers, copied: str) -> Iterator[str]:
    """The URL of a database that is copied now, and dropped at the end.

    It costs a sixth of a second of CPU: tests that leave it as it is may share one.
    """
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        create_database(connection, name, copied)
        yield servers.url(name)
        drop_database(connection, name)


@contextmanager
def in_latin_1(database_url: str) -> Iterator[str]:
    """An empty database beside this one, whose encoding has few letters; its URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        beside = connection.info.dbname
        make = SQL("CREATE DATABASE {} ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE {}")
        connection.execute(make.format(Identifier(f"{beside}_latin"), Identifier("template0")))
        try:
            yield database_url.replace(f"/{beside}?", f"/{beside}_latin?", 1)
        finally:
            drop_database(connection, f"{beside}_latin")


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    for left in reversed(range(TRIES)):
        # Not WITH (FORCE): an autovacuum worker is not ours to end; the server ends it itself.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'",
            (name,),
        )
        try:
            connection.execute(SQL("DROP DATABASE {}").format(Identifier(name)))
        except psycopg.errors.ObjectInUse:
            if not left:
                raise
        else:
            return
