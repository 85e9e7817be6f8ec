"""`make up` as a person uses it: from nothing to a verdict, and to nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from local.postgres import OWNER
from local.privileges import Account, service_account
from sql.roles import ROLES
from tests.acceptance.make_up import PATIENCE_SECONDS, Up, curl
from tests.paths import PROJECT


def java_of(system: Up) -> psutil.Process:
    """The system's Kafka."""
    (java,) = (process for process in system.processes() if process.name() == "java")
    return java


def test_the_printed_lines_do_what_they_say(up: Up) -> None:
    """Register, log in, be blocked and seen; accounts, counts and blocks outlive a restart."""
    make = up.start()
    up.wait_up()
    register, right, wrong, blocked = re.findall(r"^ *(curl .*)$", up.said, re.MULTILINE)
    assert curl(register).status_code == 201
    assert curl(right).status_code == 200
    assert [curl(wrong).status_code for _ in range(6)] == [401] * 5 + [429]
    assert curl(blocked).json() == {"users-blocked": ["ana"]}
    assert curl(register.replace("ana", "bob")).status_code == 201
    assert [curl(wrong.replace("ana", "bob")).status_code for _ in range(3)] == [401] * 3
    os.killpg(make.pid, signal.SIGINT)
    make.wait(PATIENCE_SECONDS)
    # Nobody loses what it needs before it has finished.
    stopped = re.findall(r"(\w+) has stopped", up.said)
    assert stopped == ["gateway", "workers", "kafka", "postgres"]
    assert up.processes() == []
    # As earlier versions left their data: Kafka asked nobody, and Postgres had one role.
    shutil.rmtree(up.data_dir / "kafka-passwords")
    passwords = up.data_dir / "postgres.pass"
    passwords.write_text(passwords.read_text().splitlines()[0] + "\n")
    up.start()
    up.wait_up()
    assert curl(blocked).json() == {"users-blocked": ["ana"]}
    assert curl(right).status_code == 429
    assert curl(register.replace("ana", "bob")).status_code == 409
    assert [curl(wrong.replace("ana", "bob")).status_code for _ in range(3)] == [401, 401, 429]
    token = up.data_dir / "operator.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    port = up.env["CERROJO_OPERATOR_PORT"]
    lifted = requests.delete(
        f"http://127.0.0.1:{port}/blocked/bob",
        headers={"Authorization": f"Bearer {token.read_text().strip()}"},
        timeout=30,
    )
    assert lifted.json() == {"unblocked": True}


@pytest.mark.parametrize(
    ("moment", "ctrl_c"),
    [
        ("kafka files", True),
        ("kafka", False),
        pytest.param("kafka is ready", True, marks=pytest.mark.slow),
        pytest.param("topics: done", False, marks=pytest.mark.slow),
    ],
)
def test_a_stop_while_it_starts_leaves_nothing(up: Up, moment: str, ctrl_c: bool) -> None:
    """Whenever it comes, and whether it is said to the whole terminal or, as SIGTERM, to make.

    While Kafka starts, the other parts wait for it; then the topics are made, then all begin.
    """
    make = up.start()
    up.wait(lambda: (up.data_dir / "run" / f"{moment}.pid").exists() or moment in up.said)
    if ctrl_c:
        os.killpg(make.pid, signal.SIGINT)
    else:
        make.send_signal(signal.SIGTERM)
    make.wait(PATIENCE_SECONDS)
    assert up.processes() == []
    assert "stopped everything after" in up.said


@pytest.mark.slow
def test_it_comes_back_after_the_death_of_one_server_and_of_everything(up: Up) -> None:
    """A person who looks later sees what happened and that it is over.

    No stale lock is in the way, nor a frozen server that outlived all the others.
    """
    up.start()
    up.wait_up()
    before = up.said
    java_of(up).kill()
    up.wait(lambda: "kafka is ready after" in up.said.removeprefix(before))
    assert re.search(r"kafka \(pid \d+\) ended with signal 9", up.said)

    java = java_of(up)
    parent_death = java.parent()
    assert parent_death
    left = [parent_death, java]
    for process in left:
        process.suspend()
    up.kill(spare=left)
    up.start()
    up.wait_up()
    assert "kafka of an earlier run that was killed was still running" in up.said
    assert not java.is_running()
    assert requests.get(
        f"http://127.0.0.1:{up.env['CERROJO_OPERATOR_PORT']}/blocked", timeout=30
    ).ok


def test_a_second_system_in_the_same_directory_is_refused(up: Up, cache_dir: Path) -> None:
    """One sentence, with the pid of the first; the first is not disturbed."""
    up.start()
    up.wait(lambda: (up.data_dir / "run").exists())
    second = Up(up.data_dir, cache_dir)
    second.output = up.output.with_suffix(".second")
    assert second.start().wait(PATIENCE_SECONDS) != 0
    holder = psutil.Process(int((up.data_dir / "lock").read_text()))
    assert f"{up.data_dir} is in use by process {holder.pid}." in second.said
    assert "local" in holder.cmdline()
    second.close()


def test_a_part_that_cannot_start_is_named(up: Up) -> None:
    """Which, why and where its log is; the rest is stopped."""
    account = service_account() or Account(os.geteuid(), os.getegid())
    empty = up.data_dir / "postgres"
    empty.mkdir(parents=True, mode=0o700)
    known = "".join(f"*:*:*:{role}:word\n" for role in (OWNER, *ROLES))
    (up.data_dir / "postgres.pass").write_text(known)
    (empty / "PG_VERSION").write_text("18\n")
    os.chown(empty, *account)
    assert up.start().wait(PATIENCE_SECONDS) != 0
    assert "postgres could not be started: it ended with exit code" in up.said
    assert str(up.data_dir / "logs" / "postgres.log") in up.said
    assert "postgresql.conf" in up.said  # its own words
    assert up.processes() == []


def test_data_of_another_version_is_one_sentence(up: Up) -> None:
    """Found by the step before the server, and told as it is."""
    (up.data_dir / "kafka" / "data").mkdir(parents=True)
    (up.data_dir / "kafka" / "version").write_text("3.9.1\n")
    assert up.start().wait(PATIENCE_SECONDS) != 0
    assert "is of Kafka 3.9.1, and this is Kafka 4.3" in up.said
    assert "end of its log" not in up.said
    assert up.processes() == []


def test_a_taken_port_is_one_sentence(up: Up) -> None:
    """It is found before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(up.env["CERROJO_LOGIN_PORT"])))
        taken.listen()
        assert up.start().wait(PATIENCE_SECONDS) != 0
    assert "CERROJO_LOGIN_PORT is" in up.said
    assert not (up.data_dir / "run").exists()


@pytest.mark.slow
def test_two_systems_run_side_by_side(up: Up, tmp_path: Path, cache_dir: Path) -> None:
    """A user who is registered in one is unknown in the other."""
    other = Up(tmp_path / "other", cache_dir)
    try:
        for system in (up, other):
            system.start()
        for system in (up, other):
            system.wait_up()
        (register,) = re.findall(r"^ *(curl .*/register)$", up.said, re.MULTILINE)
        assert curl(register).status_code == 201
        (right,) = re.findall(r"^ *(curl .*horse.*/login)$", other.said, re.MULTILINE)
        assert curl(right).status_code == 401
    finally:
        other.close()


def test_too_old_a_python_is_one_sentence(tmp_path: Path) -> None:
    """It names the version that it found and how to name another one."""
    old = tmp_path / "python3"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9); $2"\n'
    )
    old.chmod(0o755)
    command = ["make", f"PYTHON={old}", "READY=never", "never"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and" in done.stderr
    assert "is 3.9" in done.stderr
