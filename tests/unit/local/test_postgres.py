"""Data that this Postgres cannot use are refused by name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from local import postgres
from local.errors import LocalError
from local.postgres import BINARIES, OWNER, Postgres
from local.privileges import service_account
from local.progress import ProgressReporter
from sql.roles import ROLES


def test_a_long_path_is_refused_by_name(tmp_path: Path) -> None:
    """A socket's path is limited; Postgres' own message would name neither setting nor way out."""
    with pytest.raises(LocalError, match=r"CERROJO_DATA_DIR .* 107"):
        Postgres(tmp_path / ("x" * 107))


def test_data_of_another_postgres_is_refused(tmp_path: Path) -> None:
    """Both versions are named."""
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    postgres = Postgres(tmp_path)
    if os.geteuid() == 0:
        _give_to_service_user(postgres.folder)
    with pytest.raises(LocalError, match="is of PostgreSQL 17, and this is PostgreSQL 18"):
        postgres.prepare(ProgressReporter())


def test_data_of_another_user_is_refused(tmp_path: Path) -> None:
    """Postgres would only say that the ownership is wrong."""
    postgres = Postgres(tmp_path)
    postgres.folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("an ordinary user cannot give a folder away")
    os.chown(postgres.folder, 12345, 12345)
    with pytest.raises(LocalError, match="belongs to the user with the number 12345"):
        postgres.prepare(ProgressReporter())


def test_what_is_there_is_prepared_at_once(tmp_path: Path) -> None:
    """As at each start but the first; a lock, or a role without a password, is left to the step."""
    postgres = Postgres(tmp_path)
    assert not postgres.prepare_at_once()
    postgres.folder.mkdir()
    (postgres.folder / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        _give_to_service_user(postgres.folder)
    assert not postgres.prepare_at_once()  # without any password
    lines = [f"*:*:*:{role}:word\n" for role in (OWNER, *ROLES)]
    passwords = tmp_path / "postgres.pass"
    passwords.write_text("".join(lines))
    assert postgres.prepare_at_once()
    passwords.write_text("".join(lines[:-1]))
    assert not postgres.prepare_at_once()
    passwords.write_text("".join(lines))
    (postgres.folder / "postmaster.pid").touch()
    assert not postgres.prepare_at_once()


NO_SPACE = 'could not extend file "base/5/1259": No space left on device'
INITDB = f"""creating configuration files ... ok
running bootstrap script ... 2026-01-01 00:00:00.000 UTC [7] FATAL:  {NO_SPACE}
child process exited with exit code 1
initdb: removing contents of data directory "/data/postgres.new"
"""


@pytest.mark.parametrize(
    ("failing", "code", "output"),
    [
        ("postgres", 0, f"2026-01-01 [7] ERROR:  {NO_SPACE}\n[7] HINT:  Check free disk space.\n"),
        ("initdb", 1, INITDB),
    ],
)
def test_a_cluster_that_is_not_whole_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, code: int, output: str
) -> None:
    """On a full disk a single server says so and ends with 0; the next start begins anew."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        fails = str(BINARIES / failing) in command
        return subprocess.CompletedProcess(command, fails and code, "", output if fails else "")

    monkeypatch.setattr(subprocess, "run", run)
    postgres = Postgres(tmp_path)
    with pytest.raises(LocalError, match=f"{failing} failed .*{NO_SPACE} Its output is in"):
        postgres.prepare(ProgressReporter())
    assert not postgres.folder.exists()


def test_a_role_that_is_there_only_gets_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a start that was killed, or a migration that made it."""
    there = subprocess.CompletedProcess([], 0, "", f'[7] ERROR:  role "{OWNER}" already exists\n')
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: there)
    postgres = Postgres(tmp_path)
    postgres.prepare(ProgressReporter())
    assert postgres.folder.exists()


def test_a_former_server_is_known_beneath_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks would else be removed while it still writes."""
    (tmp_path / "real" / "postgres").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "real")
    former = SimpleNamespace(
        pid=4711, name=lambda: "postgres", cwd=lambda: str(tmp_path / "real" / "postgres")
    )
    monkeypatch.setattr(psutil, "process_iter", lambda: [former])
    monkeypatch.setattr(postgres, "ORPHANS_SECONDS", -1.0)
    server = Postgres(tmp_path / "data")
    lock = server.folder / "postmaster.pid"
    lock.touch()
    with pytest.raises(LocalError, match=r"former PostgreSQL still use .*: 4711"):
        server._remove_stale_locks()
    assert lock.exists()


def _give_to_service_user(path: Path) -> None:
    account = service_account()
    assert account
    os.chown(path, *account)
