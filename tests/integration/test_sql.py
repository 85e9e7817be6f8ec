"""The migrations, on a real Postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gateway.web.schemas import AuditedRequest
from local import schema
from sql.connection import EncodingError
from sql.migrate import _Backend, migrate
from tests.paths import PROJECT
from tests.postgres import in_latin_1

MIGRATIONS = list((PROJECT / "sql" / "migrations").glob("*.sql"))
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
    """The second one waits and finds nothing to do."""
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(migrate, [database_url] * 4))
    assert sorted(map(len, applied)) == [0, 0, 0, len(MIGRATIONS)]
    assert migrate(database_url) == []


def test_audit_rows_have_a_partition_for_each_day(database_url: str):
    """Today and a week ahead; a worker makes any other one before it writes into it."""
    migrate(database_url)
    assert len(audit_partitions(database_url)) == 8


def test_a_full_default_partition_is_divided_among_its_days(database_url: str):
    """As earlier versions left it; each day that was made beside it had it read under a lock."""
    migrate(database_url)
    rows = [(DAY_MS * day + number, number) for number, day in enumerate((3, 3, 20_000, 5, 60_000))]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE audit_default PARTITION OF audit DEFAULT")
        for row in rows:
            connection.execute(
                "INSERT INTO audit VALUES"
                " (%s, 0, 1, %s, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0)",
                row,
            )
        [no_default] = (path for path in MIGRATIONS if path.name == "0010.audit_days.sql")
        connection.execute(no_default.read_text())
        kept = connection.execute("SELECT appended_ms, log_offset FROM audit").fetchall()
        days = connection.execute("SELECT tableoid::regclass::text FROM audit").fetchall()
    assert sorted(kept, key=lambda row: row[1]) == rows
    assert {day for (day,) in days} == {
        *("audit_19700104", "audit_19700106", "audit_20241004", "audit_21340411")
    }


def test_a_day_of_the_audit_waits_for_nobody_and_keeps_nobody_waiting(database_url: str):
    """A backup reads for an hour, and a decision must not wait for it; nor for who makes days."""
    migrate(database_url)
    with psycopg.connect(database_url, options="-c lock_timeout=2s") as reading:
        reading.execute("SELECT count(*) FROM audit")
        with psycopg.connect(database_url, options="-c lock_timeout=2s") as writing:
            writing.execute(
                "INSERT INTO audit SELECT extract(epoch FROM now()) * 1000,"
                " 0, 1, 0, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0"
            )
            with psycopg.connect(database_url, options="-c lock_timeout=2s") as making:
                making.execute("SELECT make_audit_day(%s)", (3 * DAY_MS,))
                assert reading.execute("SELECT count(*) FROM audit").fetchone() == (0,)
                writing.execute(
                    "INSERT INTO audit SELECT extract(epoch FROM now()) * 1000,"
                    " 0, 1, 1, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0"
                )
    assert "audit_19700104" in audit_partitions(database_url)


def test_a_start_does_not_wait_for_who_changes_the_audit(database_url: str):
    """The partitions that are missing of the week ahead are left to retention."""
    migrate(database_url)
    partitions = audit_partitions(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(f"DROP TABLE {partitions[-1]}")
    with ThreadPoolExecutor(1) as other, psycopg.connect(database_url) as analyzing:
        analyzing.execute("LOCK TABLE audit IN SHARE UPDATE EXCLUSIVE MODE")  # as ANALYZE does
        assert other.submit(migrate, database_url).result(timeout=60) == []
    assert len(audit_partitions(database_url)) == 7
    migrate(database_url)
    assert audit_partitions(database_url) == partitions


def test_a_migration_gives_up_its_place_to_logins_and_says_for_whom_it_waits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Commits queue behind one that waits for a dump, and every login would wait for its end."""
    monkeypatch.setattr("sql.migrate.LOCK_SECONDS", 0.2)
    monkeypatch.setattr("sql.migrate.RETRY_SECONDS", 0)
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0025.who_resizes'")
        connection.execute("ALTER TABLE topology DROP COLUMN asked")
    said = []
    with psycopg.connect(database_url, application_name="pg_dump") as dump:
        dump.execute("SELECT FROM topology")

        def say(sentence: str) -> None:
            said.append(sentence)
            if len(said) == 2:
                dump.rollback()

        assert migrate(database_url, say) == ["0025.who_resizes"]
        assert len(said) == 2
        assert f"session {dump.info.backend_pid} (pg_dump, since 20" in said[0]


def test_a_migration_is_tried_again_where_it_and_a_session_wait_for_each_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """As a deletion, which waits for a day's index and has what the audit's needs."""
    monkeypatch.setattr("sql.migrate.RETRY_SECONDS", 0)
    apply, failures = _Backend.apply_migrations, [psycopg.errors.DeadlockDetected()]

    def fail_once(*given: object) -> None:
        if failures:
            raise failures.pop()
        apply(*given)

    monkeypatch.setattr(_Backend, "apply_migrations", fail_once)
    said: list[str] = []
    assert len(migrate(database_url, said.append)) == len(MIGRATIONS)
    assert len(said) == 1


def test_the_index_of_policies_reads_no_day_and_all_later_ones_have_it(database_url: str):
    """Every decision would wait while an index of a day with its rows is made."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP INDEX audit_policy")
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0027%'")
        connection.execute("SELECT make_audit_day(0)")
        connection.execute("INSERT INTO audit VALUES (0, 0, 1, 0, '', '', '', true, 0, 0, 0, 1, 0)")
    assert migrate(database_url) == ["0027.policy_changes"]
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT make_audit_day(%s)", (DAY_MS,))
        found = connection.execute(
            "SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%(policy_version, appended_ms)%'"
        ).fetchall()
    days = audit_partitions(database_url)
    assert days[0] == "audit_19700101"
    assert sorted(name for (name,) in found) == ["audit", *days[1:]]


def test_only_today_keeps_commits_waiting_for_the_index_of_operators(database_url: str):
    """Else all decisions would wait while the whole audit is read."""
    migrate(database_url)
    [path] = (path for path in MIGRATIONS if path.name.startswith("0023"))
    before, create, last = path.read_text().rpartition("CREATE INDEX")
    of_days = (
        "SELECT tablename FROM pg_indexes"
        " WHERE indexdef LIKE '%(appended_ms) WHERE (operator IS NOT NULL)' ORDER BY 1"
    )
    with psycopg.connect(database_url) as making:
        making.execute("DROP INDEX audit_operator")
        making.execute("SELECT make_audit_day(0)")
        making.commit()
        making.execute(before)
        assert making.execute(of_days).fetchall() == [("audit_19700101",)]
        with psycopg.connect(database_url, options="-c lock_timeout=2s") as writing:
            writing.execute(
                "INSERT INTO audit SELECT extract(epoch FROM now()) * 1000,"
                " 0, 1, 0, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0"
            )
        making.execute(create + last)
        found = [name for (name,) in making.execute(of_days)]
    assert found == ["audit", *audit_partitions(database_url)]  # each once


def test_functions_with_the_owner_s_rights_find_the_tables_in_any_schema(database_url: str):
    """Also those that later migrations make."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA other")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = other")
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT proname, proconfig::text FROM pg_proc"
            " WHERE prosecdef AND pronamespace = 'other'::regnamespace"
        ).fetchall()
        connection.execute("SELECT note_operator_login('ana', 'read', '::1')")
    assert len(rows) > 10
    assert [name for name, config in rows if "search_path=other, pg_temp" not in config] == []


def test_migrations_are_found_in_a_folder_of_any_name(tmp_path: Path):
    """Whatever a pattern of names would take for something else."""
    folder = tmp_path / "cerrojo [old]"
    shutil.copytree(PROJECT / "sql", folder / "sql")
    command = "import sql.migrate as m; print(len(m.read_migrations(m._FOLDER)))"
    found = subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(PROJECT)))},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == f"{len(MIGRATIONS)}\n"


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


def test_the_view_of_the_audit_shows_what_the_api_shows(database_url: str):
    """By a name or two of its own."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        columns = connection.execute("SELECT * FROM decisions").description or []
    other_names = {"offset": "log_offset", "policy": "policy_version", "user": "username"}
    shown = {other_names.get(field, field) for field in AuditedRequest.__struct_fields__}
    assert {column.name for column in columns} == shown


def test_each_table_and_view_says_what_it_is(database_url: str):
    """In the database, where psql shows it, and so in sql/schema.sql."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        silent = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND relname !~ 'yoyo'"
            " AND obj_description(oid) IS NULL"
        ).fetchall()
    assert silent == []


def test_a_database_that_is_not_there_is_an_error(database_url: str):
    """Not an endless wait."""
    with pytest.raises(psycopg.OperationalError):
        migrate(database_url + "_missing")


def test_a_database_that_cannot_hold_every_name_is_refused(database_url: str):
    """With how to make one that can: in it such a name is stored as another, and not found."""
    with in_latin_1(database_url) as url, pytest.raises(EncodingError) as refused:
        migrate(url)
    assert "_latin' has the encoding LATIN1" in str(refused.value)
    assert "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0" in str(refused.value)


def test_the_schema_that_people_read_is_the_one_that_the_migrations_make(database_url: str):
    """`python -m local.schema` writes it anew."""
    migrate(database_url)
    assert schema.dump(database_url) == schema.FILE.read_text(), "run `python -m local.schema`"
