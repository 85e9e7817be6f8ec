"""The gateway and the workers as the processes that they are, and clients that use them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import httpx
import psutil
import psycopg
from confluent_kafka import TopicPartition
from multidict import CIMultiDictProxy

from events.signatures import Sealer
from events.signing_keys import KeyFile, make
from events.topics import ATTEMPTS
from gateway import device_keys
from gateway.session_keys import new_key
from local import tcp_ports
from processes import Event, ProcessManager, ProcessSpec, Ready
from tests.harness.operators import OPERATOR, OPERATOR_TOKEN, add_operator
from tests.harness.waiting import NOT_HEARD, PAUSE_SECONDS, until, wait_until
from tests.kafka import reader
from tests.paths import PROJECT
from tests.postgres import by_role

READY_SECONDS = 60.0
ANSWER_SECONDS = 90.0  # far beyond any deadline here

CHEAPEST = {
    "CERROJO_ARGON2_MEMORY_KIB": "8",
    "CERROJO_ARGON2_TIME_COST": "1",
}
"""argon2's cheapest profile, where the hash is not what a test is about."""


PARTITIONS = 2
"""Of a system, where more of them are not what a test is about: each costs its start a worker, and
an idle system a seventh of what it takes."""


DEVICE_COOKIE = "__Host-cerrojo-device"


PROXY = "127.0.0.2"
"""The address of the trusted proxy of each of these systems."""


OPERATORS_NAME = "ops.example"
"""A name by which each of these systems' operator ports may be asked."""


SERVICE_TOKEN = "a-token-of-the-tests"
"""With which a service may ask each of these systems for verdicts."""


PEPPER = 16 * "c0de"
"""The key that all passwords of these systems are mixed with."""


def token_line(service: str, token: str, scopes: str) -> str:
    """The line of the tokens' file."""
    return f"{service} {hashlib.sha256(token.encode()).hexdigest()} {scopes}\n"


class RunningSystem:
    """`python -m gateway` and `python -m workers`, kept running by a thread of the test."""

    def __init__(
        self,
        kafka: str,
        database_url: str,
        folder: Path,
        env: Mapping[str, str],
        workers: str = "workers",
        own: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        partitions: int = 4,
    ) -> None:
        """``workers`` is the module that runs as them; `own` is what one of the two has alone.

        `partitions` are those of its topic.
        """
        self.partitions = partitions
        self._own = own
        self.folder = folder
        self.tokens_file = folder / "service-tokens"
        self.tokens_file.write_text(token_line("tests", SERVICE_TOKEN, "attempts,block"))
        # Not in the folder, where nothing secret may be found.
        self.session_keys_file = folder.with_name(f"{folder.name}-keys.json")
        new_key(self.session_keys_file)
        device_keys_file = folder.with_name(f"{folder.name}-device-keys")
        device_keys.new_key(device_keys_file)
        self.peppers_file = folder / "peppers"
        self.peppers_file.write_text(f"tests {PEPPER}\n")
        self.signing_keys = folder.with_name(f"{folder.name}-signing-keys")
        make(self.signing_keys)
        self._sealer = Sealer(KeyFile(self.signing_keys, "workers"), ATTEMPTS)
        operator_token_file = folder.with_name(f"{folder.name}-operator.token")
        operator_token_file.write_text(OPERATOR_TOKEN)
        self.database_url = database_url
        self.login_url = f"http://127.0.0.1:{(login := tcp_ports.choose('127.0.0.1'))}"
        self.operator_url = f"http://127.0.0.1:{(operator := tcp_ports.choose('127.0.0.1'))}"
        self.workers_url = f"http://127.0.0.1:{(workers_port := tcp_ports.choose('127.0.0.1'))}"
        self._modules = {"workers": workers, "gateway": "gateway"}
        self.env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": database_url,
            "CERROJO_LOGIN_PORT": str(login),
            "CERROJO_OPERATOR_PORT": str(operator),
            # A busy machine is not what a test is about.
            "CERROJO_DEADLINE_SECONDS": "25",
            "CERROJO_WORKERS_PORT": str(workers_port),
            "CERROJO_SERVICE_TOKENS_FILE": str(self.tokens_file),
            "CERROJO_SESSION_KEYS_FILE": str(self.session_keys_file),
            "CERROJO_DEVICE_KEYS_FILE": str(device_keys_file),
            "CERROJO_TRUSTED_PROXIES": PROXY,
            "CERROJO_ALLOWED_HOSTS": OPERATORS_NAME,
            "CERROJO_PEPPER_FILE": str(self.peppers_file),
            "CERROJO_SIGNING_KEYS": str(self.signing_keys),
            "CERROJO_OPERATOR_TOKEN_FILE": str(operator_token_file),
            **env,
        }
        self._kafka = kafka
        self._events = threading.Condition()
        self._happened: list[Event] = []

    def start(self) -> None:
        """Return when both say that they are ready."""
        add_operator(self.database_url)
        self._stop = threading.Event()
        self._happened.clear()
        self._reader = reader(self._kafka)
        self._manager = ProcessManager(self._on_event)
        for name, module in self._modules.items():
            self._manager.add(
                ProcessSpec(
                    name=name,
                    command=(sys.executable, "-m", module),
                    env=self.env
                    | by_role(name, self.env["DATABASE_URL"])
                    | dict(self._own.get(name, {})),
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
        self._manager.wake()
        self._thread.join()
        self._manager.close()
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
        """Send this signal to these processes; return when those that it stops stand still."""
        pids = self.pids(title)
        assert pids, f"there is no process {title!r}"
        for pid in pids:
            os.kill(pid, number)
            # Until one of its threads has seen the signal, the others go on.
            while number == signal.SIGSTOP and psutil.Process(pid).status() != "stopped":
                time.sleep(PAUSE_SECONDS)
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
        due = time.monotonic() + READY_SECONDS
        for url in (self.operator_url, self.workers_url):
            while not _says_ready(url):
                assert time.monotonic() < due, f"{url}/readyz does not say so"
                time.sleep(0.05)

    def lift(self, user: str) -> None:
        """End this account's block, if it has one, and return when no process knows of it.

        By what each says whose turn it is to have a connection.
        """
        url = f"{self.operator_url}/blocked/{user}"
        while NOT_HEARD in httpx.delete(url, headers=OPERATOR, timeout=READY_SECONDS).text:
            pass
        url = f"{self.login_url}/attempts/{user}/block"
        headers = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
        due = time.monotonic() + READY_SECONDS
        heard = 0
        while heard < 20:  # in a row, of a few processes
            answer = httpx.get(url, headers=headers, timeout=READY_SECONDS)
            heard = heard + 1 if answer.json().get("blocked") is False else 0
            assert time.monotonic() < due, answer.text

    def metrics(self, url: str = "") -> dict[str, float]:
        """The values of the gateway's /metrics, or of another one's, by the name of the series."""
        with urllib.request.urlopen(f"{url or self.operator_url}/metrics", timeout=60) as response:  # noqa: S310  # http
            lines = response.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def signed(self, message: bytes, partition: int, user: str) -> bytes:
        """The value of a record on `attempts` with this message, as a gateway signs it."""
        now_ms = round(time.time() * 1000)
        return self._sealer.seal("gateway", message, partition, user.encode(), now_ms)

    def log_size(self) -> int:
        """How many records stand in `attempts`."""
        partitions = (TopicPartition(ATTEMPTS, n) for n in range(self.partitions))
        bounds = (self._reader.get_watermark_offsets(p, timeout=60) for p in partitions)
        return sum(end for _, end in bounds)

    def wait_for_all_decided(self) -> None:
        """Return when the workers have come to the end of the log.

        Also of what was answered with 503 before it was decided, or was not answered at all.
        """

        def decided() -> bool:
            [(offsets,)] = self.query("SELECT sum(next_offset) FROM partition_progress")
            return int(offsets) == self.log_size()

        wait_until(decided)

    def wait_for_all_counted(self) -> None:
        """Return when the workers' metrics have all that is in the log: they count after they
        answer, and say then how far they are."""
        self.wait_for_all_decided()

        def counted() -> bool:
            shown = self.metrics(self.workers_url)
            return all(
                shown.get(f'cerrojo_next_offset{{partition="{partition}"}}') == offset
                for partition, offset in self.query(
                    "SELECT partition, next_offset FROM partition_progress"
                )
            )

        wait_until(counted)

    def wait_for_log(self, size: int, seconds: float) -> None:
        """Return when so many records stand in `attempts`, or the time is over."""
        due = time.monotonic() + seconds
        while self.log_size() < size and time.monotonic() < due:
            pass  # each look waits for the broker's answer

    def logs(self) -> str:
        """Everything that both have logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def _run(self) -> None:
        while not self._manager.stopped:
            self._manager.step(0.5)
            if self._stop.is_set():
                self._manager.stop()

    def _on_event(self, event: Event) -> None:
        with self._events:
            self._happened.append(event)
            self._events.notify_all()


class Answer(NamedTuple):
    """A response, in the terms of a test."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def retry_after(self) -> int:
        """Seconds."""
        return int(self.headers["Retry-After"])

    @property
    def device(self) -> str:
        """The device's cookie that it sets; empty: it sets none."""
        cookies = (value.partition(";")[0] for value in self.headers.getall("Set-Cookie", []))
        of_devices = [text for text in cookies if text.startswith(f"{DEVICE_COOKIE}=")]
        return of_devices[0].partition("=")[2] if of_devices else ""


class Client:
    """Uses both ports of a system; every request at once has a connection of its own."""

    def __init__(
        self, system: RunningSystem, session: aiohttp.ClientSession, patient: bool = True
    ) -> None:
        """`patient`: it asks again where it is told `NOT_HEARD`, as on a machine that is busy.

        To register it always does.
        """
        self._system = system
        self._session = session
        self._patient = patient

    async def login(self, user: str, password: str, device: str = "") -> Answer:
        """One login; with this device's cookie, where there is one."""
        headers = [("Cookie", f"{DEVICE_COOKIE}={device}")] if device else []
        return await self.post("/login", {"user": user, "pass": password}, headers)

    async def login_once_heard(self, user: str, password: str, device: str = "") -> Answer:
        """A login after a block was lifted: a process hears of that within two seconds."""
        return await until(
            lambda: self.login(user, password, device),
            lambda answer: answer.status not in (403, 429),
        )

    async def device(self, user: str, password: str) -> str:
        """The cookie of a new device of this account."""
        answer = await self.login(user, password)
        assert answer.status == 200, answer
        return answer.device

    async def register(self, user: str, password: str) -> None:
        """An account that is there afterwards; asked for again where no verdict came in time."""
        answer = await until(
            lambda: self.post("/register", {"user": user, "pass": password}),
            lambda answer: answer.status != 503,
        )
        assert answer.status == 201, answer

    async def at_once(self, user: str, passwords: Iterable[str]) -> list[Answer]:
        """A login with each of these, all at the same moment; the answers in this order."""
        return await asyncio.gather(*(self.login(user, password) for password in passwords))

    async def post(
        self, path: str, body: object, headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """A request to the login port."""
        url = self._system.login_url + path
        return await self._request("POST", url, json=body, headers=headers)

    async def attempt(
        self,
        user: str,
        outcome: str,
        *,
        key: str | None = None,
        url: str = "",
        token: str = SERVICE_TOKEN,
        **more: object,
    ) -> Answer:
        """A service's attempt; `url` is another gateway's login port."""
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        body = {"user": user, "outcome": outcome, **more}
        url = url or self._system.login_url
        return await self._request("POST", f"{url}/attempts", json=body, headers=headers)

    async def block_of(self, user: str, token: str = SERVICE_TOKEN) -> Answer:
        """What a service hears of the account's block."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self._system.login_url}/attempts/{quote(user, safe='')}/block"
        return await self._request("GET", url, headers=headers)

    async def session(self, token: str) -> Answer:
        """What the login port says of a session's token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self._request("GET", f"{self._system.login_url}/session", headers=headers)

    async def operator(
        self, method: str, path: str, body: object = None, token: str = OPERATOR_TOKEN
    ) -> Answer:
        """A request to the operator port; with a body, where there is one."""
        options: dict[str, Any] = {} if body is None else {"json": body}
        if token:
            options["headers"] = {"Authorization": f"Bearer {token}"}
        return await self._request(method, self._system.operator_url + path, **options)

    async def operator_lines(
        self, method: str, path: str, body: object, token: str = OPERATOR_TOKEN
    ) -> list[Any]:
        """The lines of JSON of an answer of the operator port."""
        headers = {"Authorization": f"Bearer {token}"}
        url = self._system.operator_url + path
        async with self._session.request(method, url, json=body, headers=headers) as response:
            assert (response.status, response.content_type) == (200, "application/x-ndjson")
            return [json.loads(line) async for line in response.content]

    async def change(self, user: str, old: str, new: str) -> Answer:
        """A change of one's own password."""
        return await self.post("/password", {"user": user, "pass": old, "new": new})

    async def _request(self, method: str, url: str, **options: Any) -> Answer:
        while True:
            async with self._session.request(method, url, **options) as response:
                answer = Answer(response.status, await response.json(), response.headers)
            if not self._patient or is_heard(answer):
                return answer
            await asyncio.sleep(PAUSE_SECONDS)


NOT_NOW = (NOT_HEARD, "This gateway does not know now who is blocked")


def is_heard(answer: Answer) -> bool:
    """Whether its process had heard of a worker that could decide, and of who is blocked."""
    return not (answer.status == 503 and any(said in str(answer.body) for said in NOT_NOW))


def statuses(answers: Iterable[Answer]) -> dict[int, int]:
    """How often each status was answered."""
    return dict(Counter(answer.status for answer in answers))


def connections(**options: Any) -> aiohttp.ClientSession:
    """A session that waits longer than any deadline here, with a connector of these options."""
    # The gateway closes an idle connection after ten seconds.
    connector = aiohttp.TCPConnector(**{"limit": 0, "keepalive_timeout": 5.0, **options})
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    return aiohttp.ClientSession(connector=connector, timeout=timeout)


def run(
    system: RunningSystem,
    scenario: Callable[[Client], Coroutine[Any, Any, None]],
    patient: bool = True,
    by: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run a scenario with a client of its own."""

    async def connected() -> None:
        async with connections() as session:
            await scenario(Client(system, session, patient))

    by(connected())


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
