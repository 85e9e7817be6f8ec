"""The migrations, on a real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from sql.migrate import migrate

MIGRATIONS = list((Path(__file__).parents[2] / "sql" / "migrations").glob("*.sql"))
DAY_MS = 86_400_000


def audit_partitions(database_url: str) -> list[str]:
    """The names of the audit table's partitions."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'audit'::regclass ORDER BY 1"
        ).fetchall()
    return [name for (name,) in rows]


def test_two_at_once_apply_each_migration_once(database_url: str):
    """Whoever comes second waits and finds nothing to do."""
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(migrate, [database_url] * 4))
    assert sorted(map(len, applied)) == [0, 0, 0, len(MIGRATIONS)]
    assert migrate(database_url) == []


def test_audit_rows_have_a_partition_for_each_day_and_a_default(database_url: str):
    """Today and a week ahead; anything else lands in the default partition."""
    migrate(database_url)
    partitions = audit_partitions(database_url)
    assert len(partitions) == 9
    assert "audit_default" in partitions


def test_a_day_that_the_default_partition_has_rows_of_is_left_there(database_url: str):
    """Making partitions never fails because somebody was late to make them."""
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit SELECT extract(epoch FROM now() + interval '9 days') * 1000,"
            " 0, 1, 0, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0"
        )
        connection.execute("SELECT make_audit_partitions(10)")
    assert len(audit_partitions(database_url)) == 9 + 2


def test_a_start_does_not_wait_for_who_reads_the_audit(database_url: str):
    """What is missing of the week ahead is left to the housekeeping."""
    migrate(database_url)
    partitions = audit_partitions(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(f"DROP TABLE {partitions[-2]}")
    with ThreadPoolExecutor(1) as other, psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM audit")
        assert other.submit(migrate, database_url).result(timeout=5) == []
    assert len(audit_partitions(database_url)) == 8
    migrate(database_url)
    assert audit_partitions(database_url) == partitions


def test_the_views_show_times_for_people(database_url: str):
    """A block without an end is until infinity, and one that is over is not listed."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO lock_states SELECT name, '{}', 5, 1, 1000, until, 'why', 1, 0, 1, 0"
            " FROM (VALUES ('ana', 9223372036854775807), ('bob', 2000)) AS v (name, until)"
        )
        rows = connection.execute(
            "SELECT username, since, until::text FROM blocked_accounts"
        ).fetchall()
    assert [(name, since.timestamp(), until) for name, since, until in rows] == [
        ("ana", 1.0, "infinity")
    ]


def test_a_database_that_is_not_there_is_an_error(database_url: str):
    """Not an endless wait."""
    with pytest.raises(psycopg.OperationalError):
        migrate(database_url + "_missing")
