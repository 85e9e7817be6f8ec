"""A Kafka and a Postgres for a program, such as a test, in the background."""

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
from processes import leftovers
from settings import Settings

GRACE = 3.0  # s for what a killed run left behind


class Servers:
    """Kafka and Postgres of one data directory, kept running by a thread of this process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. The settings of the
    environment count, except for the data directory and the number of brokers.
    """

    def __init__(self, data_dir: Path, cache_dir: Path | None = None, brokers: int = 1) -> None:
        """Look at nothing yet. Jars that are in `cache_dir` are not downloaded again."""
        self._data_dir = data_dir
        self._cache_dir = cache_dir
        self._brokers = brokers
        self._held = ExitStack()

    def start(self) -> None:
        """Return when both answer. Raises LocalError."""
        with ExitStack() as stack:
            data_dir = datadir.create(self._data_dir)
            stack.enter_context(datadir.only_one(data_dir))
            leftovers.stop_all(data_dir / "run", GRACE)
            settings = Settings(data_dir=data_dir, cache_dir=self._cache_dir, brokers=self._brokers)
            self._addresses = Addresses(settings, data_dir)
            self._system = System(data_dir / "run")
            self._asked: str | None = None
            self._up = threading.Event()
            self._thread = threading.Thread(target=self._run, name="servers")
            self._thread.start()
            self._up.wait()
            if self._system.failure:
                self._end("stop")
                raise LocalError(self._system.failure)
            self._held = stack.pop_all()

    def stop(self) -> None:
        """Stop both in an orderly way and return when they are gone."""
        self._end("stop")

    def kill(self) -> None:
        """End both at once, as `kill -9` of everything does."""
        self._end("kill")

    @property
    def data_dir(self) -> Path:
        """Where all that both keep is: `kafka`, `postgres`, and their `logs`."""
        return self._data_dir

    @property
    def brokers(self) -> list[str]:
        """The names of Kafka's nodes, as in :attr:`pids`."""
        return [node.name for node in self._addresses.kafka]

    @property
    def kafka_bootstrap_servers(self) -> str:
        """Where Kafka is, as `host:port,...`."""
        return self._addresses.kafka_bootstrap_servers

    @property
    def database_url(self) -> str:
        """Where Postgres is, as the role that owns the database."""
        return self._addresses.database_url

    @property
    def pids(self) -> dict[str, int]:
        """The processes that hold the servers, by the server's name."""
        states = self._system.keeper.states
        return {name: state.pid for name, state in states.items() if state.pid}

    def url(self, database: str) -> str:
        """Another database of the same Postgres."""
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
        self._asked = how
        self._system.keeper.wake()
        self._thread.join()
        self._held.close()

    def _run(self) -> None:
        system = self._system
        system.start(server_parts(self._addresses))
        while not system.stopped:
            system.step(1.0)
            if system.complete or system.failure:
                self._up.set()
            if self._asked == "kill":
                system.kill()
            elif self._asked == "stop":
                system.stop()
        system.keeper.close()
