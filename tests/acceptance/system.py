"""The gateway and the workers as the processes that they are, and clients that use them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil
import psycopg
from confluent_kafka import Consumer, TopicPartition

from events.topics import ATTEMPTS
from local import ports
from processes import Event, Keeper, ProcessSpec, Ready

PROJECT = Path(__file__).parents[2]
READY_SECONDS = 60.0

CHEAPEST = {
    "CERROJO_ARGON2_MEMORY_KIB": "8",
    "CERROJO_ARGON2_TIME_COST": "1",
}
"""argon2's cheapest profile, where the hash is not what a test is about."""


class RunningSystem:
    """`python -m gateway` and `python -m workers`, kept running by a thread of the test."""

    def __init__(
        self,
        kafka: str,
        database_url: str,
        folder: Path,
        env: Mapping[str, str],
        workers: str = "workers",
    ) -> None:
        """``workers`` is the module that runs as them."""
        self.folder = folder
        self.database_url = database_url
        self.login_url = f"http://127.0.0.1:{(login := ports.choose('127.0.0.1'))}"
        self.operator_url = f"http://127.0.0.1:{(operator := ports.choose('127.0.0.1'))}"
        self.workers_url = f"http://127.0.0.1:{(workers_port := ports.choose('127.0.0.1'))}"
        self._modules = {"workers": workers, "gateway": "gateway"}
        self.env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": database_url,
            "CERROJO_LOGIN_PORT": str(login),
            "CERROJO_OPERATOR_PORT": str(operator),
            # A busy machine is not what a test is about.
            "CERROJO_DEADLINE_SECONDS": "25",
            "CERROJO_WORKERS_PORT": str(workers_port),
            **env,
        }
        self._kafka = kafka
        self._events = threading.Condition()
        self._happened: list[Event] = []

    def start(self) -> None:
        """Return when both say that they are ready."""
        self._stop = threading.Event()
        self._happened.clear()
        self._reader = Consumer(
            {"bootstrap.servers": self._kafka, "group.id": "test", "log_level": 2}
        )
        self._keeper = Keeper(self._on_event)
        for name, module in self._modules.items():
            self._keeper.add(
                ProcessSpec(
                    name=name,
                    command=(sys.executable, "-m", module),
                    env=self.env,
                    cwd=PROJECT,
                    log=self.folder / f"{name}.log",
                    start_timeout=READY_SECONDS,
                    drain_timeout=15.0,
                )
            )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        for name in ("workers", "gateway"):
            self.wait_for(Ready, name)

    def stop(self) -> None:
        """Let both finish."""
        self._stop.set()
        self._keeper.wake()
        self._thread.join()
        self._keeper.close()
        self._reader.close()

    def wait_for(self, kind: type[Event], name: str, times: int = 1) -> None:
        """Return when this has happened so often since the start."""
        with self._events:
            assert self._events.wait_for(
                lambda: (
                    sum(isinstance(e, kind) and e.name == name for e in self._happened) >= times
                ),
                READY_SECONDS,
            ), f"{name}: no {kind.__name__}. Its log is {self.folder / name}.log"

    def pids(self, title: str) -> list[int]:
        """The processes whose title begins so, as in "worker partition 3"."""
        mine = psutil.Process(os.getpid()).children(recursive=True)
        return [p.pid for p in mine if _title(p).startswith(f"cerrojo: {title}")]

    def signal(self, title: str, number: int) -> list[int]:
        """Send this signal to these processes."""
        pids = self.pids(title)
        assert pids, f"there is no process {title!r}"
        for pid in pids:
            os.kill(pid, number)
        return pids

    def kill(self, title: str) -> None:
        """`kill -9` of these processes."""
        self.signal(title, signal.SIGKILL)

    def query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the system's database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, values).fetchall()

    def wait_for_all_ready(self) -> None:
        """Return when every process of both decides and answers."""
        until = time.monotonic() + READY_SECONDS
        for url in (self.operator_url, self.workers_url):
            while not _says_ready(url):
                assert time.monotonic() < until, f"{url}/readyz does not say so"
                time.sleep(0.05)

    def metrics(self, url: str = "") -> dict[str, float]:
        """What the gateway's /metrics says, or another one's, by the name of the series."""
        with urllib.request.urlopen(f"{url or self.operator_url}/metrics", timeout=10) as response:  # noqa: S310  # http
            lines = response.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def log_size(self) -> int:
        """How many records stand in `attempts`."""
        partitions = (TopicPartition(ATTEMPTS, n) for n in range(4))
        bounds = (self._reader.get_watermark_offsets(p, timeout=10) for p in partitions)
        return sum(end for _, end in bounds)

    def wait_for_log(self, size: int, seconds: float) -> None:
        """Return when so many records stand in `attempts`, or the time is over."""
        until = time.monotonic() + seconds
        while self.log_size() < size and time.monotonic() < until:
            pass  # each look waits for the broker's answer

    def logs(self) -> str:
        """Everything that both have logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def _run(self) -> None:
        while not self._keeper.stopped:
            self._keeper.step(0.5)
            if self._stop.is_set():
                self._keeper.stop()

    def _on_event(self, event: Event) -> None:
        with self._events:
            self._happened.append(event)
            self._events.notify_all()


class Answer(NamedTuple):
    """A response, in the terms of a test."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def retry_after(self) -> int:
        """Seconds."""
        return int(self.headers["Retry-After"])


class Client:
    """Uses both ports of a system; every request at once has a connection of its own."""

    def __init__(self, system: RunningSystem, session: aiohttp.ClientSession) -> None:
        self._system = system
        self._session = session

    async def login(self, user: str, password: str) -> Answer:
        """One login."""
        return await self.post("/login", {"user": user, "pass": password})

    async def register(self, user: str, password: str) -> None:
        """An account that is there afterwards."""
        answer = await self.post("/register", {"user": user, "pass": password})
        assert answer.status == 201, answer

    async def at_once(self, user: str, passwords: Iterable[str]) -> list[Answer]:
        """A login with each of these, all at the same moment; the answers in this order."""
        return await asyncio.gather(*(self.login(user, password) for password in passwords))

    async def post(self, path: str, body: object) -> Answer:
        """A request to the login port."""
        return await self._request("POST", self._system.login_url + path, json=body)

    async def operator(self, method: str, path: str) -> Answer:
        """A request to the operator port."""
        return await self._request(method, self._system.operator_url + path)

    async def _request(self, method: str, url: str, **options: Any) -> Answer:
        async with self._session.request(method, url, **options) as response:
            return Answer(response.status, await response.json(), response.headers)


def statuses(answers: Iterable[Answer]) -> dict[int, int]:
    """How often each status was answered."""
    return dict(Counter(answer.status for answer in answers))


def run(system: RunningSystem, scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with a client of its own."""

    async def connected() -> None:
        timeout = aiohttp.ClientTimeout(total=30.0)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await scenario(Client(system, session))

    asyncio.run(connected())


def _says_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310  # http
            return bool(response.status == 200)
    except OSError:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
