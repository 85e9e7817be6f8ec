"""The database server of a chaos run: its configuration, and what it says about the owners."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg

from local.servers import Servers

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.002  # between two looks


class Owner(NamedTuple):
    """The owner of a partition, by the database."""

    partition: int
    pid: int
    epoch: int


class Saved(NamedTuple):
    """The state of a database that can be put back."""

    folder: Path
    next_offsets: dict[int, int]
    """Of each partition; or a little less."""


class Database:
    """Postgres of these servers."""

    def __init__(self, servers: Servers) -> None:
        self.url = servers.database_url
        self._servers = servers
        self._folder = servers.data_dir / "postgres"

    def keep_times_of_commits(self) -> None:
        """For the oracle; takes a restart of the server."""
        main = self._folder / "postgresql.conf"
        if "chaos.conf" in main.read_text():
            return
        main.write_text(main.read_text() + "\ninclude_if_exists = 'chaos.conf'\n")
        self._configure("")
        former = self.postmaster
        os.kill(former, signal.SIGINT)
        while self.postmaster in (former, 0):
            time.sleep(0.05)
        self._wait_until_it_answers()

    @property
    def postmaster(self) -> int:
        """The pid of the server's first process; 0 while it is not there."""
        try:
            return int((self._folder / "postmaster.pid").read_text().split()[0])
        except (OSError, IndexError):
            return 0

    def answers(self) -> bool:
        """Whether a query is answered now."""
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def clock_ms(self) -> float:
        """The server's time of day."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        assert row is not None
        return float(row[0]) * 1000

    def owners(self) -> list[Owner]:
        """The owner of each partition."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            return [
                Owner(partition, _pid(owner), epoch)
                for partition, owner, epoch in connection.execute(
                    "SELECT partition, owner, epoch FROM partition_progress ORDER BY 1"
                )
            ]

    def kill_in_commit(self, seconds: float) -> Owner | None:
        """`kill -9` of a worker whose batch is committed and that does not know it yet.

        The server is told to wait for a standby that does not exist, so every commit is done
        and not answered. None if no worker committed anything in this time.
        """
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            self._configure("synchronous_standby_names = 'nobody'\n")
            try:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    row = connection.execute(
                        "SELECT p.partition, p.owner, p.epoch FROM partition_progress p"
                        " JOIN pg_stat_activity a ON a.backend_xid = p.xmax"
                        " WHERE a.wait_event = 'SyncRep' AND a.application_name = 'cerrojo worker'"
                        "   AND a.query LIKE '%apply_batch%'"
                    ).fetchone()
                    if row is not None:
                        owner = Owner(row[0], _pid(row[1]), row[2])
                        os.kill(owner.pid, signal.SIGKILL)
                        return owner
                    time.sleep(PAUSE_SECONDS)
                return None
            finally:
                self._configure("")

    def save(self) -> Saved:
        """Stop the server in order, copy all that it has, and return when it is back."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            rows = connection.execute("SELECT partition, next_offset FROM partition_progress")
            offsets: dict[int, int] = dict(rows.fetchall())
        folder = self._folder.with_suffix(".saved")
        with self._away(signal.SIGINT):
            shutil.rmtree(folder, ignore_errors=True)
            _copy(self._folder, folder)
        self._wait_until_it_answers()
        return Saved(folder, offsets)

    def restore(self, saved: Saved) -> None:
        """Kill the server, put back what was saved, and return when it answers."""
        with self._away(signal.SIGKILL):
            shutil.rmtree(self._folder)
            _copy(saved.folder, self._folder)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            assert time.monotonic() < until, "Postgres does not come back"
            time.sleep(0.05)

    @contextmanager
    def _away(self, number: signal.Signals) -> Iterator[None]:
        """While the server is ended and nobody starts it again."""
        holder, processes = self._servers.pids["postgres"], self.processes()
        os.kill(holder, signal.SIGSTOP)  # else it would start it again at once
        try:
            for pid in processes if number == signal.SIGKILL else processes[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = time.monotonic() + PATIENCE_SECONDS
            while any(map(lives, processes)):
                assert time.monotonic() < until, "Postgres does not end"
                time.sleep(0.01)
            yield
        finally:
            os.kill(holder, signal.SIGCONT)

    def processes(self) -> list[int]:
        """All of the server's."""
        first = psutil.Process(self.postmaster)
        return [first.pid, *(child.pid for child in first.children(recursive=True))]

    def _configure(self, more: str) -> None:
        file: Path = self._folder / "chaos.conf"
        file.write_text("track_commit_timestamp = on\n" + more)
        file.chmod(0o644)
        if (pid := self.postmaster) != 0:
            os.kill(pid, signal.SIGHUP)


def _copy(folder: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)  # noqa: S607  # with its owners


def lives(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _pid(owner: str) -> int:
    """The process in a partition's owner ("HOST pid NUMBER of TIME")."""
    return int(owner.partition(" pid ")[2].split()[0])
