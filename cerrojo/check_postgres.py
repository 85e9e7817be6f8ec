"""Postgres as `cerrojo doctor` sees it: whether it answers, its schema, rights and clock."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from cerrojo.errors import of_database
from cerrojo.findings import Findings, by_difference, failed, ok, warning
from settings import Settings, variable
from sql.connection import (
    EncodingError,
    PoolerError,
    connection_options,
    require_session,
    require_utf8,
)
from sql.migrate import look
from sql.roles import ROLES
from sql.topology import settled_partitions

NEARLY_ALL = 0.8
"""A share of Postgres' connections: few restarts at once, or one gateway more, need the rest."""


def check_postgres(settings: Settings) -> Findings:
    """All of it, as far as Postgres answers."""
    url = settings.require_database()
    options = connection_options("doctor")
    try:
        with psycopg.connect(url, autocommit=True, **options) as database:
            require_session(database, url)
            require_utf8(database)
            version = database.info.server_version // 10_000
            yield ok("Postgres", f"Version {version} answers.")
            yield from _clock(database)
            if part := _only_part(database):
                yield warning(
                    "role",
                    f"{database.info.user!r} has the rights of {part} alone, by which nothing else "
                    f"can be looked at. Name the tables' owner in {variable('database_url')}.",
                )
                return
            found = look(database)
            if found.pending:
                names = ", ".join(found.pending)
                yield failed("migrations", f"Not applied: {names}. `python -m sql` applies them.")
                return
            if found.unknown:
                names = ", ".join(found.unknown)
                yield warning(
                    "migrations", f"{names}: of a newer Cerrojo. Update this one to the same."
                )
            else:
                yield ok("migrations", "All are applied.")
            yield from _connections(database)
            yield from _rights(database)
            yield from _partitions(database)
    except (PoolerError, EncodingError) as error:
        yield failed("Postgres", f"{variable('database_url')}: {error}.")
    except psycopg.OperationalError as error:
        yield failed(
            "Postgres",
            f"Does not answer: {str(error).strip().rstrip('.')}. Start it, or set "
            f"{variable('database_url')} to where it is.",
        )
    except psycopg.Error as error:
        yield failed("Postgres", of_database(error))


def used_partitions(settings: Settings) -> int:
    """The number of partitions that are used, as far as Postgres says it; else 0."""
    options = connection_options("doctor")
    try:
        with psycopg.connect(settings.require_database(), **options) as database:
            return settled_partitions(database) or 0
    except psycopg.Error:  # the checks of Postgres say why
        return 0


def _clock(database: psycopg.Connection[Any]) -> Findings:
    began = time.time()
    row = database.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    yield by_difference("clock of Postgres", "Postgres", row[0], began, time.time())


def _only_part(database: psycopg.Connection[Any]) -> str:
    """The role of a part of Cerrojo that this one is; "" where it is the owner or another."""
    row = database.execute(
        "SELECT role FROM unnest(%s::text[]) role"
        " WHERE pg_has_role(to_regrole(role)::oid, 'USAGE') AND NOT pg_has_role("
        "(SELECT relowner FROM pg_class WHERE oid = to_regclass('accounts')), 'USAGE')",
        (list(ROLES),),
    ).fetchone()
    return row[0] if row else ""


def _connections(database: psycopg.Connection[Any]) -> Findings:
    row = database.execute(
        "SELECT (SELECT sum(numbackends) FROM pg_stat_database WHERE datid <> 0),"
        " current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true)::int, 0)"
    ).fetchone()
    assert row is not None
    used, most = row
    if used < most * NEARLY_ALL:
        yield ok("connections", f"{used} of {most} are used.")
    else:
        yield warning(
            "connections",
            f"{used} of {most} are used: whatever starts may find none. Make max_connections of "
            'Postgres larger; "Sizes" in docs/deploy.md has how many it takes.',
        )


def _rights(database: psycopg.Connection[Any]) -> Findings:
    """What the role may, which the owner of the tables may always."""
    role = database.info.user
    lacking = [
        f"{right} on {table}"
        for table, right in database.execute(
            "SELECT relname, p FROM pg_class,"
            " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p"
            " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname NOT LIKE '%yoyo%'"
            " AND NOT has_table_privilege(oid, p) ORDER BY 1, 2"
        )
    ]
    if lacking:
        yield warning(
            "role",
            f"{role!r} lacks {', '.join(lacking)}. Grant it, or name the tables' owner in "
            f"{variable('database_url')}, where a gateway or worker connects as this role.",
        )
    else:
        yield ok("role", f"{role!r} has the rights that gateways and workers need.")


def _partitions(database: psycopg.Connection[Any]) -> Findings:
    row = database.execute("SELECT partitions, wanted FROM topology").fetchone()
    if row is None:
        yield failed("partitions", "Their number is not set yet. `python -m events` sets it.")
        return
    used, wanted = row
    unowned, policies = database.execute(
        "SELECT coalesce(array_agg(n ORDER BY n) FILTER (WHERE policy IS NULL), '{}'),"
        " count(DISTINCT policy) FROM generate_series(0, %s - 1) n"
        " LEFT JOIN partition_progress ON partition = n",
        (used,),
    ).fetchone() or ([], 0)
    if unowned:
        yield warning("partitions", f"{unowned} never had a worker. Start `python -m workers`.")
    elif policies > 1:
        yield warning(
            "partitions",
            "Not all of them have the same policy. `cerrojo policy` says which; with its options "
            "it puts one into all of them.",
        )
    elif wanted > used:
        yield warning(
            "partitions",
            f"A resize to {wanted} is under way. It goes on when all workers run; `cerrojo resize "
            f"{wanted}` waits for it.",
        )
    else:
        yield ok("partitions", f"{used} are used, all with one policy.")
