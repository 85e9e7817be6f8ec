"""A real PgBouncer (Debian's package) before the Postgres of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg

from local import tcp_ports
from local.privileges import run_as, service_account

HOST = "127.0.0.1"
START_SECONDS = 60.0
ELSEWHERE = "/usr/sbin"
"""Where Debian puts it, which an ordinary user's PATH lacks."""


@contextmanager
def pgbouncer(database_url: str, folder: Path, mode: str) -> Iterator[str]:
    """Its URL for this database, while it runs in this mode: session, transaction or statement."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:{ELSEWHERE}")
    assert program, "There is no pgbouncer. On Debian: apt-get install pgbouncer"
    folder.mkdir()
    port, log = tcp_ports.choose(HOST), folder / "pgbouncer.log"
    config = folder / "pgbouncer.ini"
    config.write_text(_configuration(database_url, mode, port))
    config.chmod(0o600)
    account = service_account()
    if account:
        os.chown(config, *account)
    name = urlsplit(database_url).path.removeprefix("/")
    url = f"postgresql://anyone@{HOST}:{port}/{name}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*run_as(account), program, str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait()


def _configuration(database_url: str, mode: str, port: int) -> str:
    parts = urlsplit(database_url)
    options = parse_qs(parts.query)
    socket, user = options["host"][0], unquote(parts.username or "")
    lines = Path(options["passfile"][0]).read_text().splitlines()
    [password] = (line.rpartition(":")[2] for line in lines if f":{user}:" in line)
    return f"""
[databases]
* = host={socket} user={user} password={password}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 50
"""


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return
