"""The script of compose.yml makes what the parts come as, on a Postgres as the image makes one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from deploy.compose_secrets import make
from local.postgres import BINARIES, CONFIGURATION
from local.privileges import run_as, service_account
from sql.migrate import migrate
from sql.roles import GATEWAY, OPERATOR, WORKERS
from tests.paths import PROJECT

SCRIPT = PROJECT / "deploy" / "postgres-roles.sh"
VOLUMES = {
    GATEWAY: "gateway-keys",
    OPERATOR: "gateway-keys",
    WORKERS: "keys",
    "cerrojo": "step-keys",
}


def program(name: str, *arguments: str) -> list[str]:
    """The command that runs a program of Postgres' as a user that it does not refuse."""
    return [*run_as(service_account()), str(BINARIES / name), *arguments]


@pytest.fixture(params=["postgres", "cerrojo"])
def socket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of the socket of a new Postgres, whose superuser has this name."""
    folder = tmp_path / "postgres"
    folder.mkdir()
    if account := service_account():
        os.chown(folder, *account)
    command = ["--pgdata", str(folder), "--username", request.param, "--auth", "scram-sha-256"]
    word = tmp_path / "word"
    word.write_text("a word")
    word.chmod(0o644)
    subprocess.run(program("initdb", *command, f"--pwfile={word}"), check=True, capture_output=True)
    # As in the image, which trusts the superuser on its socket.
    rules = folder / "pg_hba.conf"
    rules.write_text(f"local postgres {request.param} trust\n" + rules.read_text())
    options = [part for name, value in CONFIGURATION.items() for part in ("-c", f"{name}={value}")]
    with subprocess.Popen(
        program("postgres", "-D", str(folder), *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    ) as server:
        ready = program("pg_isready", f"--host={folder}")
        while subprocess.run(ready, check=False, capture_output=True).returncode:
            assert server.poll() is None
        try:
            yield folder
        finally:
            server.terminate()


def test_each_part_comes_in_by_its_volume(
    socket: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    """Also where a volume of an earlier version has the superuser cerrojo, and again by hand."""
    volumes = tmp_path / "volumes"
    for name in (*VOLUMES.values(), "postgres-keys", "kafka-keys"):
        (volumes / name).mkdir(parents=True, exist_ok=True)
    make(volumes)
    superuser = request.node.callspec.params["socket"]
    for _ in range(2):
        subprocess.run(
            ["/bin/sh", str(SCRIPT)],
            env={
                "PATH": f"{BINARIES}:{os.environ['PATH']}",
                "PGHOST": str(socket),
                "KEYS": str(volumes / "postgres-keys"),
                **({"POSTGRES_USER": superuser} if superuser != "postgres" else {}),
            },
            check=True,
            capture_output=True,
        )

    def url(role: str) -> str:
        passfile = volumes / VOLUMES[role] / "postgres.pass"
        host = quote(str(socket), safe="")
        return f"postgresql://{role}@/cerrojo?host={host}&passfile={quote(str(passfile), safe='')}"

    migrate(url("cerrojo"))
    with psycopg.connect(url("cerrojo")) as owner, psycopg.connect(url(WORKERS)) as worker:
        worker.execute("SELECT 'of a worker'")
        seen = owner.execute("SELECT query FROM pg_stat_activity WHERE usename = %s", (WORKERS,))
        assert seen.fetchall() == [("SELECT 'of a worker'",)]
    for role in VOLUMES:
        with psycopg.connect(url(role)) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM topology), rolsuper FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()
        assert row == (0, role == superuser)
