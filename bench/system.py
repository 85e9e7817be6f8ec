"""The whole system, as `make up` starts it, for the time of a measurement."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from bench.errors import BenchError
from local import tcp_ports
from local.kafka_users import KafkaUsers
from local.postgres import Postgres

T = TypeVar("T")

PROJECT = Path(__file__).parents[1]
CACHE = PROJECT / ".cerrojo" / "cache"
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 30.0

CHEAPEST = {"CERROJO_ARGON2_MEMORY_KIB": "8", "CERROJO_ARGON2_TIME_COST": "1"}
"""argon2's cheapest profile, for the time that everything else takes."""


SERVICE_TOKEN = "a-token-of-the-bench"  # noqa: S105  # of a system that nobody else reaches


class Up:
    """A running system."""

    def __init__(
        self, process: subprocess.Popen[bytes], data_dir: Path, env: Mapping[str, str]
    ) -> None:
        """`env` is what it runs with."""
        self.process = process
        self.login_port = int(env["CERROJO_LOGIN_PORT"])
        self.operator_port = int(env["CERROJO_OPERATOR_PORT"])
        self.database_url = env.get("DATABASE_URL") or Postgres(data_dir).database_url
        self.kafka = {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{env['CERROJO_KAFKA_PORT']}",
            **KafkaUsers(data_dir).administrator(),
        }
        """How it is reached, by one who may do everything."""
        self.env = {
            **env,
            "DATABASE_URL": self.database_url,
            **self.kafka,
            "CERROJO_SIGNING_KEYS": str(data_dir / "signing-keys"),
        }
        if "KAFKA_BOOTSTRAP_SERVERS" in env:  # of another system; it signs nothing
            self.env["KAFKA_BOOTSTRAP_SERVERS"] = env["KAFKA_BOOTSTRAP_SERVERS"]
            del self.env["CERROJO_SIGNING_KEYS"]
        """For a further process of it."""
        self.further: list[psutil.Process] = []
        """Those of the bench that belong to it, too (:mod:`bench.extra`)."""

    def family(self) -> list[psutil.Process]:
        """All its processes, servers and all."""
        return [*psutil.Process(self.process.pid).children(recursive=True), *self.further]

    def of_each(self, read: Callable[[psutil.Process], T]) -> dict[psutil.Process, T]:
        """What `read` gives for each of its processes, any of which may end meanwhile."""
        found = {}
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                found[process] = read(process)
        return found

    def processes(self, title: str) -> list[psutil.Process]:
        """Those whose title begins so, as in "gateway login"."""
        titles = self.of_each(lambda process: " ".join(process.cmdline()))
        return [p for p, whole in titles.items() if whole.startswith(f"cerrojo: {title}")]

    def memory(self, title: str) -> int:
        """Resident bytes of these processes together."""
        return sum(process.memory_info().rss for process in self.processes(title))

    def cpu(self) -> float:
        """Seconds of CPU that all its processes have used."""
        used = self.of_each(lambda process: float(sum(process.cpu_times()[:2])))
        return sum(used.values())


@contextmanager
def _in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as Ctrl-C does, so that the system ends with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, lambda got, _: sys.exit(128 + got)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


@contextmanager
def up(env: Mapping[str, str], data_dir: Path | None = None) -> Iterator[Up]:
    """Start it on free ports, and stop it at the end; on new data, if not on these."""
    login, operator, workers, kafka = (tcp_ports.choose(HOST) for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="bench") as folder, _in_order():
        data_dir = data_dir or Path(folder, "data")
        log = Path(folder, "up.log")
        tokens = Path(folder, "service-tokens")
        tokens.write_text(f"bench {hashlib.sha256(SERVICE_TOKEN.encode()).hexdigest()} attempts\n")
        environment = {
            "CERROJO_CACHE_DIR": str(CACHE),
            **os.environ,
            "CERROJO_DATA_DIR": str(data_dir),
            "CERROJO_LOGIN_PORT": str(login),
            "CERROJO_OPERATOR_PORT": str(operator),
            "CERROJO_WORKERS_PORT": str(workers),
            "CERROJO_KAFKA_PORT": str(kafka),
            "CERROJO_SERVICE_TOKENS_FILE": str(tokens),
            **env,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local", "up"],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(process, (operator, workers), log)
            yield Up(process, data_dir, environment)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _wait(process: subprocess.Popen[bytes], ports_: tuple[int, ...], log: Path) -> None:
    due = time.monotonic() + START_SECONDS
    while not all(_ready(port) for port in ports_):
        if process.poll() is not None or time.monotonic() > due:
            raise BenchError(f"The system did not come up:\n{log.read_text()}")
        time.sleep(0.1)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
