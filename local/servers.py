"""Runs a Kafka and a Postgres in the background, for a program such as a test."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from local import datadir
from local.errors import LocalError
from local.parts import Addresses, server_parts
from local.system import System
from processes import orphans
from settings import load

ORPHANS_GRACE_SECONDS = 3.0  # for the processes of a killed run


class Servers:
    """Kafka and Postgres of one data directory, kept running by a thread of this process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. Settings come from the
    environment, except for the data directory and the number of brokers.
    """

    def __init__(self, data_dir: Path, cache_dir: Path | None = None, brokers: int = 1) -> None:
        """Does no I/O. Jars that are in `cache_dir` are not downloaded again."""
        self._data_dir = data_dir
        self._cache_dir = cache_dir
        self._brokers = brokers
        self._held = ExitStack()

    def start(self) -> None:
        """Start both, and return when they answer. Raises LocalError."""
        with ExitStack() as stack:
            data_dir = datadir.create(self._data_dir)
            stack.enter_context(datadir.only_one(data_dir))
            orphans.stop_all(data_dir / "run", ORPHANS_GRACE_SECONDS)
            settings = load(data_dir=data_dir, cache_dir=self._cache_dir, brokers=self._brokers)
            self._addresses = Addresses(settings, data_dir)
            self._system = System(data_dir / "run")
            self._end_by: str | None = None
            self._up = threading.Event()
            self._thread = threading.Thread(target=self._run, name="servers")
            self._thread.start()
            self._up.wait()
            if self._system.failure:
                self._end("stop")
                raise LocalError(self._system.failure)
            self._held = stack.pop_all()

    def stop(self) -> None:
        """Stop both cleanly, and return when they have ended."""
        self._end("stop")

    def kill(self) -> None:
        """Kill both at once, like `kill -9` of everything."""
        self._end("kill")

    @property
    def data_dir(self) -> Path:
        """The directory with the data of both, `kafka` and `postgres`, and their `logs`."""
        return self._data_dir

    @property
    def brokers(self) -> list[str]:
        """The names of the Kafka nodes, as in :attr:`pids`."""
        return [node.name for node in self._addresses.kafka]

    @property
    def kafka_bootstrap_servers(self) -> str:
        """Kafka's addresses, as `host:port,...`."""
        return self._addresses.kafka_bootstrap_servers

    @property
    def database_url(self) -> str:
        """Postgres' URL for the role that owns the database."""
        return self._addresses.database_url

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the servers' wrappers, by the server's name."""
        states = self._system.manager.states
        return {name: state.pid for name, state in states.items() if state.pid}

    def url(self, database: str) -> str:
        """The URL of another database of the same Postgres."""
        return urlsplit(self.database_url)._replace(path=f"/{database}").geturl()

    def __enter__(self) -> Servers:
        """See :meth:`start`."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See :meth:`stop`."""
        self.stop()

    def _end(self, how: str) -> None:
        self._end_by = how
        self._system.manager.wake()
        self._thread.join()
        self._held.close()

    def _run(self) -> None:
        system = self._system
        system.start(server_parts(self._addresses))
        while not system.stopped:
            system.step(1.0)
            if system.complete or system.failure:
                self._up.set()
            if self._end_by == "kill":
                system.kill()
            elif self._end_by == "stop":
                system.stop()
        system.manager.close()
