"""Postgres behind a real PgBouncer: it works with sessions, and says why it does not without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from gateway.blocklist.snapshot import load_snapshot
from sql.connection import Limits, PoolerError, connection_options, require_session
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, run, statuses
from tests.harness.pgbouncer import pgbouncer
from workers.partition.store import Store

WHY = "gives each transaction another session.*pool_mode = session.*DATABASE_URL"


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a PgBouncer that keeps sessions, before an empty database."""
    with pgbouncer(database_url, tmp_path / "pooler", "session") as url:
        yield url


def prepared(url: str) -> str:
    """This database as `python -m sql` and `python -m events` leave it."""
    migrate(url)
    with psycopg.connect(url) as connection:
        require_session(connection, url)
        settle_partitions(connection, 4)
    return url


@pytest.mark.slow
def test_a_system_works_behind_one_that_keeps_sessions(
    pooled: str, topics: str, tmp_path: Path
) -> None:
    """Migrations, the group's hosts, claims and their fences, and a gateway's queries."""
    environment = {"CERROJO_GATEWAY_PROCESSES": "1", "CERROJO_DATABASE_CONNECTIONS": "2"}
    system = RunningSystem(topics, prepared(pooled), tmp_path, environment | CHEAPEST)

    async def scenario(client: Client) -> None:
        await client.register("ana", "correct horse battery")
        # More than the five times after which psycopg prepares a statement.
        for _ in range(8):
            assert (await client.login("ana", "correct horse battery")).status == 200
        system.kill("worker partition")
        answers = await client.at_once("ana", ["wrong horse battery"] * 20)
        assert statuses(answers) == {401: 5, 429: 15}

    system.start()
    try:
        system.wait_for_all_ready()
        run(system, scenario)
    finally:
        system.stop()
    assert system.query("SELECT count(*) FROM lock_states WHERE blocked_until_ms > 0") == [(1,)]


def test_its_limits_hold_behind_one_that_keeps_sessions(pooled: str) -> None:
    """A claim ends the forgotten transaction that holds the row; a pooler would drop `options`."""
    store = Store(prepared(pooled), 2)
    store.open()
    store.claim("me")
    with psycopg.connect(pooled) as forgotten:
        forgotten.execute("UPDATE partition_progress SET owner = 'psql' WHERE partition = 2")
        assert store.claim("me again").next_offset == 0
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
    store.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_one_that_does_not_keep_sessions_is_refused(
    database: str, tmp_path: Path, mode: str
) -> None:
    """By whatever comes first: the migrations, or a gateway's loading."""
    with pgbouncer(database, tmp_path / "pooler", mode) as url:
        for first in (migrate, load_snapshot):
            with pytest.raises(PoolerError, match=WHY):
                first(url)


def test_postgres_itself_is_asked_once(database: str) -> None:
    """And the connection is as it was."""
    with psycopg.connect(database, **connection_options("test")) as connection:
        require_session(connection, "postgresql://nowhere.invalid/nothing")
        assert not connection.autocommit
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_the_limits_are_those_of_the_session(database: str) -> None:
    """Each is set, and 0 sets none."""
    with psycopg.connect(database, autocommit=True) as connection:
        Limits(statement_ms=1_500, lock_ms=20).set(connection)
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        shown = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        assert shown == [("1500ms",), ("20ms",), ("0",)]


@pytest.mark.parametrize("pooler", [True, False])
def test_text_is_utf_8_whatever_the_default(database: str, tmp_path: Path, pooler: bool) -> None:
    """By another one a name is stored as another, and its wrong passwords are not found again."""
    with psycopg.connect(database) as connection:
        change = SQL("ALTER DATABASE {} SET client_encoding = 'LATIN1'")
        connection.execute(change.format(Identifier(connection.info.dbname)))
    with ExitStack() as ending:
        url = database
        if pooler:
            url = ending.enter_context(pgbouncer(database, tmp_path / "pooler", "session"))
        with psycopg.connect(url, **connection_options("test")) as connection:
            assert connection.execute("SHOW client_encoding").fetchone() == ("UTF8",)
            rows = connection.execute("SELECT 'ł' UNION SELECT %s", ("ł",)).fetchall()
            assert rows == [("ł",)]
