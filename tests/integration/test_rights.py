"""Each part's role in Postgres may do what the part needs, and is refused everything else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from local.postgres import BINARIES, OWNER, Postgres
from local.privileges import run_as, service_account
from local.servers import Servers
from sql.migrate import migrate
from sql.roles import GATEWAY, OPERATOR, ROLES, WORKERS
from tests.paths import PROJECT
from tests.postgres import as_role, temporary_database
from workers.supervisor.retention import apply_retention

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def unchanged(servers: Servers, migrated: str) -> Iterator[str]:
    """One database for everything that is refused."""
    with temporary_database(servers, migrated) as url:
        yield url


def refused(database: str, role: str, statement: str) -> bool:
    """Whether this role is refused it, and for no other reason than a right that it lacks."""
    with psycopg.connect(as_role(database, role)) as connection:
        try:
            connection.execute(statement)
        except InsufficientPrivilege:
            return True
        connection.rollback()
    return False


REFUSED = {
    GATEWAY: (
        "INSERT INTO lock_states VALUES ('ana', '{}', 0, 0, NULL, NULL, NULL, 1, 0, 1, 0)",
        "UPDATE lock_states SET blocked_until_ms = NULL",
        "DELETE FROM lock_states",
        "SELECT blocked_why FROM lock_states",
        "SELECT username FROM audit",
        "SELECT username FROM decisions",
        "SELECT * FROM quarantine",
        "SELECT * FROM erasures",
        "UPDATE partition_progress SET policy = NULL",
        "SELECT claim_partition(0, 'gateway')",
        "UPDATE topology SET partitions = 1",
        "INSERT INTO accounts (username, password_hash) VALUES ('ana', 'a hash')",
        "UPDATE accounts SET password_hash = 'a hash'",
        "DELETE FROM accounts",
        "SELECT * FROM operator_tokens",
        "SELECT secret FROM webhooks",
        "SELECT body FROM webhook_deliveries",
        "SELECT change_disabled('ana', false)",
        "SELECT make_audit_day(0)",
        "SELECT drop_old_audit(1)",
        "UPDATE decoy_key SET key = ''",
    ),
    OPERATOR: (
        "SELECT password_hash FROM accounts",
        "SELECT * FROM accounts",
        "SELECT count_password_forms()",
        "SELECT key FROM decoy_key",
        "SELECT secret FROM webhooks",
        "SELECT * FROM quarantine",
        "SELECT renew_hash('ana', 'a hash', 'another')",
        "INSERT INTO operator_tokens VALUES ('me', 'administer', '', now(), now(), NULL)",
        "UPDATE operator_tokens SET revoked_at = NULL",
        "DELETE FROM operator_tokens",
        "SELECT claim_partition(0, 'operator')",
        "SELECT clear_ended_blocks(1)",
        "SELECT make_audit_day(0)",
        "SELECT drop_old_audit(1)",
    ),
    WORKERS: (
        "SELECT password_hash FROM accounts",
        "UPDATE webhooks SET url = 'http://attacker.example'",
        "SELECT * FROM accounts",
        "SELECT count(password_hash) FROM accounts",
        "INSERT INTO accounts (username, password_hash) VALUES ('ana', 'a hash')",
        "UPDATE accounts SET password_hash = 'a hash'",
        "UPDATE accounts SET version = 1",
        "SELECT make_account('ana', 'a hash')",
        "SELECT change_password('ana', 'a hash', NULL)",
        "SELECT renew_hash('ana', 'a hash', 'another')",
        "SELECT key FROM decoy_key",
        "SELECT * FROM password_forms",
        "DELETE FROM audit",
        "SELECT * FROM operator_tokens",
        "UPDATE audit SET decision = 0",
        "DROP TABLE quarantine",
        "TRUNCATE lock_states",
    ),
}


@pytest.mark.parametrize(
    ("role", "statement"),
    [(role, statement) for role, statements in REFUSED.items() for statement in statements],
)
def test_a_part_is_refused_what_is_not_its(unchanged: str, role: str, statement: str):
    """By its own credentials; the owner may do all of it."""
    with psycopg.connect(unchanged) as connection:
        connection.execute(statement)
        connection.rollback()
    assert refused(unchanged, role, statement)


def test_the_operator_port_writes_no_table(unchanged: str):
    """It makes, changes and disables accounts by four functions, and writes nothing else."""
    with psycopg.connect(unchanged) as connection:
        tables = connection.execute(
            "SELECT relname, (SELECT attname FROM pg_attribute"
            "                  WHERE attrelid = c.oid AND attnum = 1)"
            "  FROM pg_class c WHERE relnamespace = 'public'::regnamespace"
            "   AND relkind IN ('r', 'p') AND relname !~ 'yoyo'"
        ).fetchall()
    assert len(tables) > 8
    for table, column in tables:
        for statement in (
            f"INSERT INTO {table} DEFAULT VALUES",
            f"UPDATE {table} SET {column} = DEFAULT",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            assert refused(unchanged, OPERATOR, statement), statement


@pytest.mark.parametrize("role", ROLES)
def test_no_part_may_do_more_than_use_its_tables(unchanged: str, role: str):
    """None makes tables or roles, reads files, or changes its own rights."""
    for statement in (
        "CREATE TABLE more (n int)",
        "CREATE ROLE more",
        f"ALTER ROLE {role} SUPERUSER",
        f"SET ROLE {OWNER}",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "CREATE OR REPLACE FUNCTION password_form(password_hash text) RETURNS text"
        " LANGUAGE sql AS 'SELECT password_hash'",
    ):
        assert refused(unchanged, role, statement), statement
    with psycopg.connect(as_role(unchanged, role)) as connection:
        assert (
            connection.execute(
                "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
                "  FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            == (False,) * 5
        )


def test_a_function_of_the_owner_finds_no_table_of_its_caller(database: str):
    """One that the caller made under the name of a real one would be written by the owner."""
    with psycopg.connect(as_role(database, GATEWAY)) as connection:
        connection.execute("CREATE TEMP TABLE accounts (username text, password_hash text)")
        assert connection.execute("SELECT make_account('ana', 'a hash')").fetchone() == (True,)
        assert connection.execute("SELECT count(*) FROM pg_temp.accounts").fetchone() == (0,)
        assert connection.execute("SELECT username FROM public.accounts").fetchall() == [("ana",)]


def callable_by_everybody(connection: psycopg.Connection[Any]) -> list[str]:
    """The functions with their owner's rights that every role of the server may call."""
    rows = connection.execute(
        "SELECT p.oid::regprocedure::text"
        "  FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace AND a.grantee = 0"
    ).fetchall()
    return [name for (name,) in rows]


def test_everybody_else_may_call_no_function_of_the_owner(unchanged: str):
    """A function that is new may be called by all roles, until that is revoked."""
    with psycopg.connect(unchanged) as connection:
        assert callable_by_everybody(connection) == []
        owned = connection.execute(
            "SELECT proname, proconfig FROM pg_proc"
            " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert len(owned) == 12
    assert all("search_path=public, pg_temp" in config for _, config in owned)


def test_a_dump_without_privileges_opens_no_function_of_the_owner(database: str):
    """After its restore everybody may call all of them, until `python -m sql` has run."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC")
        assert len(callable_by_everybody(connection)) == 12
        migrate(database)
        assert callable_by_everybody(connection) == []


def test_retention_by_the_workers_role_drops_and_makes_days(database: str):
    """The audit's partitions belong to the owner, and accounts are counted without being read."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT make_audit_day(%s)", (3 * DAY_MS,))
        connection.execute("SELECT make_account('ana', 'v1$salt$digest')")
    done = apply_retention(as_role(database, WORKERS), audit_days=90)
    assert done is not None
    assert done.audit_partitions == 1
    with psycopg.connect(as_role(database, WORKERS)) as connection:
        connection.execute("SELECT make_audit_day(%s)", (5 * DAY_MS,))
        connection.execute(
            "INSERT INTO audit VALUES (%s, 0, 1, 0, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0)",
            (5 * DAY_MS,),
        )
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (1,)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT form, accounts FROM password_forms").fetchall() == [
            ("v1$", 1)
        ]


@contextmanager
def _postgres(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Postgres of a test's own; the owner's URL."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere")
    with Servers(data_dir) as servers:
        yield servers.database_url


def _without_roles(postgres: Postgres) -> None:
    """As it was before the parts had roles, but for their passwords."""
    account = service_account()
    subprocess.run(
        [
            *run_as(account),
            str(BINARIES / "postgres"),
            "--single",
            "-D",
            str(postgres.folder),
            OWNER,
        ],
        input="".join(f"DROP OWNED BY {role}\nDROP ROLE {role}\n" for role in ROLES),
        text=True,
        check=True,
        capture_output=True,
    )


def test_a_postgres_without_the_roles_is_the_owners_until_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a managed one, whose administrator makes roles; and as data of an earlier version."""
    postgres = Postgres(tmp_path)
    with _postgres(tmp_path, monkeypatch) as url:
        migrate(url)
    _without_roles(postgres)
    with _postgres(tmp_path, monkeypatch) as url:
        with psycopg.connect(url) as connection:
            connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC")
        said = subprocess.run(
            [sys.executable, "-m", "sql"],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"no role {', '.join(ROLES)}" in said.stdout
        with psycopg.connect(url) as connection:
            assert callable_by_everybody(connection) == []
            assert connection.execute("SELECT make_account('ana', 'a hash')").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(as_role(url, WORKERS))
    passwords = tmp_path / "postgres.pass"
    passwords.write_text(passwords.read_text().splitlines()[0] + "\n")
    with _postgres(tmp_path, monkeypatch) as url:
        migrate(url)
        for role in ROLES:
            with psycopg.connect(as_role(url, role)) as connection:
                assert connection.execute("SELECT partitions FROM topology").fetchall() == []
        assert refused(url, WORKERS, "SELECT password_hash FROM accounts")
    assert passwords.stat().st_mode & 0o777 == 0o600
