"""`make up` as a person uses it: from nothing to a verdict, and to nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from local import ports
from local.privileges import Account, service_account
from processes.parent import FD_VARIABLE

PROJECT = Path(__file__).parents[2]
PATIENCE = 100.0  # s, far beyond what anything here takes


class Up:
    """One `make up` with a data directory and ports of its own."""

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.data_dir = data_dir
        which = ("LOGIN", "OPERATOR", "WORKERS")
        chosen = {f"CERROJO_{name}_PORT": str(ports.choose("127.0.0.1")) for name in which}
        self.env = {
            **{k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")},
            **chosen,
            "CERROJO_DATA_DIR": str(data_dir),
            "CERROJO_CACHE_DIR": str(cache_dir),
            "CERROJO_PARTITIONS": "2",
            "CERROJO_ARGON2_MEMORY_KIB": "1024",
        }
        self.output = data_dir.with_suffix(".out")
        self.make: subprocess.Popen[bytes] | None = None
        self._life, self._watched = socket.socketpair()  # when the test dies, it stops
        self.env[FD_VARIABLE] = str(self._watched.fileno())

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a process group of its own as a terminal does."""
        python = Path(sys.executable).parent
        # The virtual environment is the one that runs this test, whatever its stamp says.
        command = ["make", "-o", ".venv/installed", f"BIN={python}", "up"]
        with self.output.open("wb") as output:
            self.make = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._watched.fileno()],
            )
        return self.make

    @property
    def said(self) -> str:
        """What a person has read so far."""
        return self.output.read_text()

    def wait(self, until: Callable[[], object]) -> None:
        """Return when it is so; fail when `make` ends before."""
        assert self.make
        for _ in range(int(PATIENCE / 0.05)):
            if until():
                return
            try:
                self.make.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        assert until(), self.said

    def wait_up(self) -> None:
        """Return when the screen is there."""
        self.wait(lambda: "Ctrl-C stops everything" in self.said)

    def processes(self) -> list[psutil.Process]:
        """All that live and have this system's data directory in their environment."""
        mark, found = str(self.data_dir), []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CERROJO_DATA_DIR") == mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, spare: Container[psutil.Process] = ()) -> None:
        """End whatever still lives, at once, but these; some go by themselves meanwhile."""
        for process in self.processes():
            if process not in spare:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if self.make:
            self.make.wait(PATIENCE)

    def close(self) -> None:
        """Free what this object has open."""
        self.kill()
        self._life.close()
        self._watched.close()


@pytest.fixture
def up(tmp_path: Path, cache_dir: Path) -> Iterator[Up]:
    """A system that is not started yet."""
    system = Up(tmp_path / "data", cache_dir)
    yield system
    system.close()


def curl(line: str) -> requests.Response:
    """Do what a printed curl line does."""
    words = shlex.split(line, comments=True)
    assert words[:2] == ["curl", "-i"]
    if "-d" not in words:
        return requests.get(words[-1], timeout=30)
    name, value = words[words.index("-H") + 1].split(": ")
    content = words[words.index("-d") + 1]
    return requests.post(words[-1], data=content, headers={name: value}, timeout=30)


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
    make.wait(PATIENCE)
    # Nobody loses what it needs before it has finished.
    stopped = re.findall(r"(\w+) has stopped", up.said)
    assert stopped == ["gateway", "workers", "kafka", "postgres"]
    assert up.processes() == []
    up.start()
    up.wait_up()
    assert curl(blocked).json() == {"users-blocked": ["ana"]}
    assert curl(right).status_code == 429
    assert curl(register.replace("ana", "bob")).status_code == 409
    assert [curl(wrong.replace("ana", "bob")).status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize(
    ("moment", "ctrl_c"),
    [("kafka files", True), ("kafka", False), ("topics", True), ("workers", False)],
)
def test_a_stop_while_it_starts_leaves_nothing(up: Up, moment: str, ctrl_c: bool) -> None:
    """Whenever it comes, and whether it is said to the whole terminal or, as SIGTERM, to make."""
    make = up.start()
    up.wait(lambda: (up.data_dir / "run" / f"{moment}.pid").exists())
    if ctrl_c:
        os.killpg(make.pid, signal.SIGINT)
    else:
        make.send_signal(signal.SIGTERM)
    make.wait(PATIENCE)
    assert up.processes() == []
    assert "all is stopped" in up.said


def test_it_comes_back_after_the_death_of_one_server_and_of_everything(up: Up) -> None:
    """Whoever looks later sees what happened and that it is over.

    No stale lock is in the way, nor a frozen server that outlived all the others.
    """
    up.start()
    up.wait_up()
    before = up.said
    java_of(up).kill()
    up.wait(lambda: "kafka is ready after" in up.said.removeprefix(before))
    assert re.search(r"kafka \(pid \d+\) ended with signal 9", up.said)

    java = java_of(up)
    tether = java.parent()
    assert tether
    left = [tether, java]
    for process in left:
        process.suspend()
    up.kill(spare=left)
    up.start()
    up.wait_up()
    assert "kafka was still running, left behind by a run that was killed" in up.said
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
    assert second.start().wait(PATIENCE) != 0
    holder = psutil.Process(int((up.data_dir / "lock").read_text()))
    assert f"{up.data_dir} is in use by process {holder.pid}." in second.said
    assert "local" in holder.cmdline()
    second.close()


def test_a_part_that_cannot_start_is_named(up: Up) -> None:
    """Which, why and where its log is; the rest is stopped."""
    account = service_account() or Account(os.geteuid(), os.getegid())
    empty = up.data_dir / "postgres"
    empty.mkdir(parents=True, mode=0o700)
    (up.data_dir / "postgres.pass").touch(0o600)
    (empty / "PG_VERSION").write_text("18\n")
    os.chown(empty, *account)
    assert up.start().wait(PATIENCE) != 0
    assert "postgres could not be started: it ended with exit code" in up.said
    assert str(up.data_dir / "logs" / "postgres.log") in up.said
    assert "postgresql.conf" in up.said  # its own words
    assert up.processes() == []


def test_data_of_another_version_is_one_sentence(up: Up) -> None:
    """Found by the step before the server, and told as it is."""
    (up.data_dir / "kafka" / "data").mkdir(parents=True)
    (up.data_dir / "kafka" / "version").write_text("3.9.1\n")
    assert up.start().wait(PATIENCE) != 0
    assert "is of Kafka 3.9.1, and this is Kafka 4.3" in up.said
    assert "end of its log" not in up.said
    assert up.processes() == []


def test_a_taken_port_is_one_sentence(up: Up) -> None:
    """It is found before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(up.env["CERROJO_LOGIN_PORT"])))
        taken.listen()
        assert up.start().wait(PATIENCE) != 0
    assert "CERROJO_LOGIN_PORT is" in up.said
    assert not (up.data_dir / "run").exists()


def test_two_systems_run_side_by_side(up: Up, tmp_path: Path, cache_dir: Path) -> None:
    """Who is registered in one is unknown in the other."""
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
