"""Workers that start while Postgres is away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from local.postgres import SOCKET
from processes.manager_link import FD_VARIABLE
from settings import SettingsError
from tests.harness.waiting import PATIENCE_SECONDS
from tests.paths import PROJECT
from workers.__main__ import _partitions

WAITS = "The workers wait for Postgres"
NOBODY = "127.0.0.1:9"


@contextmanager
def waiting(
    database_url: str, manager: socket.socket | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The program, which has said that it waits."""
    link = {} if manager is None else {FD_VARIABLE: str(manager.fileno())}
    with subprocess.Popen(
        [sys.executable, "-m", "workers"],
        cwd=PROJECT,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": NOBODY, "DATABASE_URL": database_url, **link},
        pass_fds=[] if manager is None else [manager.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert any(WAITS in line for line in process.stderr), "it ended before it waited"
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it still said."""
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


def test_they_go_on_when_it_is_there(database_url: str, tmp_path: Path) -> None:
    """A process manager that has to start them again gives up, and then nobody decides."""
    with waiting(make_conninfo(database_url, host=str(tmp_path))) as process:
        real = Path(str(conninfo_to_dict(database_url)["host"])) / SOCKET
        (tmp_path / SOCKET).symlink_to(real)
        code, said = ended(process)
    assert code == 2  # as this database is empty
    assert "`python -m sql` and `python -m events` prepare it." in said
    assert WAITS not in said  # once is enough


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_they_end_when_they_are_asked_to_meanwhile(tmp_path: Path, number: int) -> None:
    """By a process manager, or by Ctrl-C."""
    with waiting(f"postgresql:///nothing?host={tmp_path}") as process:
        process.send_signal(number)
        assert ended(process) == (0, "")


def test_they_end_with_their_manager_meanwhile(tmp_path: Path) -> None:
    """Else those of a killed `make up` would wait for ever."""
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting(f"postgresql:///nothing?host={tmp_path}", theirs) as process:
        theirs.close()
        ours.close()
        assert ended(process) == (0, "")


def test_they_wait_for_a_connection_that_others_have(database: str) -> None:
    """After its restart all clients come at once."""
    name = str(conninfo_to_dict(database)["dbname"])
    limit = SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(limit.format(Identifier(name), 0))
        with waiting(database) as process:
            owner.execute(SQL("DROP TABLE topology CASCADE"))
            owner.execute(limit.format(Identifier(name), -1))
            code, said = ended(process)
    assert code == 2
    assert '"topology" does not exist' in said


@pytest.mark.parametrize(
    ("wrong", "why"),
    [({"password": "wrong"}, "password authentication failed"), ({"dbname": "none"}, "not exist")],
)
def test_what_a_person_has_to_mend_ends_them(
    database_url: str, wrong: dict[str, str], why: str
) -> None:
    """With the sentence that names it; nobody would see a wait."""
    with pytest.raises(SettingsError, match=f"^DATABASE_URL: .*{why}"):
        _partitions(make_conninfo(database_url, **wrong))


def test_a_server_that_starts_is_known_in_any_language() -> None:
    """It says so in its own; its code is the same everywhere."""
    codes = ["57P03", "57P03", "28P01"]  # a try and a look, then another try
    asked: list[str] = []

    class Starting(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            asked.append(codes[min(len(asked), len(codes) - 1)])
            fields = b"SFATAL\0VFATAL\0C" + asked[-1].encode() + b"\0Mdas geht nicht\0\0"
            self.request.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    with ThreadingTCPServer(("127.0.0.1", 0), Starting) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        url = f"postgresql://a@127.0.0.1:{port}/a?sslmode=disable&gssencmode=disable"
        with waiting(url) as process:
            code, said = ended(process)
        server.shutdown()
        thread.join()
    assert asked[:3] == codes
    assert code == 2
    assert "das geht nicht" in said
