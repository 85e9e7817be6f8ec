"""A Kafka and a Postgres that may be broken, and clients that log in meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg

from local import tcp_ports
from local.postgres import SOCKET
from local.servers import Servers
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.acceptance.proxy import Proxy
from tests.acceptance.system import Client
from tests.harness import small_disk
from tests.kafka import new_topics

SIZES = {"kafka": 96, "postgres": 160}  # MiB
PIECE = 65_536


class Server:
    """Kafka or Postgres, alone on a small disk."""

    def __init__(self, name: str, folder: Path, cache_dir: Path) -> None:
        self.name = name
        self.folder = folder
        self.folder.mkdir()
        self._why_no_disk = small_disk.mount(folder, SIZES[name])
        self.servers = Servers(folder / "data", cache_dir)
        self._port = tcp_ports.choose("127.0.0.1")  # the same one after every start

    def start(self) -> None:
        """Return when it answers."""
        elsewhere = (
            {"DATABASE_URL": "postgresql://elsewhere/cerrojo"}
            if self.name == "kafka"
            else {"KAFKA_BOOTSTRAP_SERVERS": "elsewhere"}
        )
        with environment({**elsewhere, "CERROJO_KAFKA_PORT": str(self._port)}):
            self.servers.start()

    def kill(self) -> None:
        """`kill -9`; return when nothing of it is left."""
        family = self._processes()
        self.servers.kill()
        psutil.wait_procs(family, timeout=30)

    def close(self) -> None:
        """Stop it and give the disk back."""
        self.servers.stop()
        if not self._why_no_disk:
            small_disk.unmount(self.folder)

    def signal(self, number: int) -> None:
        """Send this to all processes of the server itself; its manager is left alone."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        holder = psutil.Process(self.servers.pids[self.name])
        return list(holder.children(recursive=True))

    def freeze(self) -> None:
        """Stand still."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Leave not a byte for it to write."""
        assert not self._why_no_disk, (
            "A full disk is tried on a tmpfs, and none could be mounted here: "
            f"{self._why_no_disk}. Run this test as root, with CAP_SYS_ADMIN."
        )
        with suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(PIECE))

    def free_disk(self) -> None:
        """Let it write again."""
        (self.folder / "ballast").unlink()


class Outage:
    """Both servers, with a proxy before Postgres. A context manager."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self.kafka = Server("kafka", folder / "k", cache_dir)
        self.postgres = Server("postgres", folder / "p", cache_dir)
        self._held = ExitStack()

    def __enter__(self) -> Outage:
        """Start everything."""
        with ExitStack() as stack:
            for server in (self.postgres, self.kafka):
                server.start()
                stack.callback(server.close)
            migrate(self.database_url)
            with psycopg.connect(self.database_url) as connection:
                settle_partitions(connection, 4)
            new_topics(self.bootstrap_servers, 4)
            folder = Path(parse_qs(urlsplit(self.database_url).query)["host"][0])
            self.proxy = Proxy(folder / SOCKET)
            stack.callback(self.proxy.close)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self._held.close()

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka is."""
        return self.kafka.servers.kafka_bootstrap_servers

    @property
    def database_url(self) -> str:
        """Postgres without the proxy."""
        return self.postgres.servers.database_url

    @property
    def proxied_url(self) -> str:
        """Postgres behind the proxy."""
        url = urlsplit(self.database_url)
        passfile = parse_qs(url.query)["passfile"][0]
        return url._replace(
            netloc=f"{url.username}@127.0.0.1:{self.proxy.port}", query=f"passfile={passfile}"
        ).geturl()


class Guess(NamedTuple):
    """The answer to one guess at an account that nobody else tried."""

    user: str
    status: int
    seconds: float


class Guessing:
    """Clients that guess, each time at another account, from the beginning of the body to its end.

    So every answer can be compared with what the log holds on exactly this guess.
    """

    def __init__(self, client: Client, name: str, clients: int) -> None:
        self.guesses: list[Guess] = []
        self.stood_still = 0.0
        """Seconds in which this process could not have heard of an answer."""
        self._client = client
        self._name = name
        self._clients = clients
        self._enough = asyncio.Event()
        self._changed = asyncio.Event()
        self._number = 0

    async def __aenter__(self) -> Guessing:
        """Begin."""
        doing = [self._watch(), *(self._guess_on() for _ in range(self._clients))]
        self._tasks = [asyncio.ensure_future(each) for each in doing]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End when all are answered."""
        self._enough.set()
        await asyncio.gather(*self._tasks)

    async def until(self, good: Callable[[Guess], bool], times: int, patience: float) -> None:
        """Return when so many answers more are like this."""
        seen, start = 0, len(self.guesses)
        async with asyncio.timeout(patience):
            while seen < times:
                self._changed.clear()
                await self._changed.wait()
                seen = sum(map(good, self.guesses[start:]))

    async def _watch(self) -> None:
        while not self._enough.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.1)
            if (late := time.monotonic() - began - 0.1) > 0.5:
                self.stood_still += late

    async def _guess_on(self) -> None:
        while not self._enough.is_set():
            self._number += 1
            user = f"{self._name}-{self._number}"
            started = time.monotonic()
            answer = await self._client.login(user, "a wrong password")
            self.guesses.append(Guess(user, answer.status, time.monotonic() - started))
            self._changed.set()
            if answer.status == 503:
                assert answer.retry_after >= 1
                await asyncio.sleep(0.05)


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables, for a time."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
