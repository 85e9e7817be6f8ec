"""The whole system, as `make up` starts it, for the time of a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from local import ports
from local.postgres import Postgres

PROJECT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 30.0


class Up:
    """A running system."""

    def __init__(self, process: subprocess.Popen[bytes], login_port: int, data_dir: Path) -> None:
        self.process = process
        self.login_port = login_port
        self.database_url = Postgres(data_dir).database_url

    def processes(self, title: str) -> list[psutil.Process]:
        """Those whose title begins so, as in "gateway login"."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in family if " ".join(p.cmdline()).startswith(f"cerrojo: {title}")]

    def memory(self, title: str) -> int:
        """Resident bytes of these processes together."""
        return sum(process.memory_info().rss for process in self.processes(title))

    def cpu(self) -> float:
        """Seconds of CPU that all its processes have used."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return sum(sum(process.cpu_times()[:2]) for process in family)


@contextmanager
def up(env: Mapping[str, str]) -> Iterator[Up]:
    """Start it on new data and free ports, and stop it at the end."""
    login, operator, workers = (ports.choose(HOST) for _ in range(3))
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        log = Path(folder, "up.log")
        environment = {
            "CERROJO_CACHE_DIR": str(PROJECT / ".cerrojo" / "cache"),
            **os.environ,
            "CERROJO_DATA_DIR": str(Path(folder, "data")),
            "CERROJO_LOGIN_PORT": str(login),
            "CERROJO_OPERATOR_PORT": str(operator),
            "CERROJO_WORKERS_PORT": str(workers),
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
            _wait(process, operator, log)
            yield Up(process, login, Path(folder, "data"))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _wait(process: subprocess.Popen[bytes], operator: int, log: Path) -> None:
    due = time.monotonic() + START_SECONDS
    while not _ready(operator):
        if process.poll() is not None or time.monotonic() > due:
            raise SystemExit(f"The system did not come up:\n{log.read_text()}")
        time.sleep(0.2)


def _ready(operator: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{operator}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
