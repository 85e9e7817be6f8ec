"""`make up` as a person starts it, with a data directory and ports of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Container
from pathlib import Path

import psutil
import requests

from local import tcp_ports
from processes.manager_link import FD_VARIABLE
from tests.harness.waiting import NOT_HEARD
from tests.paths import PROJECT

PATIENCE_SECONDS = 100.0  # far beyond what anything here takes


class Up:
    """One `make up` with a data directory and ports of its own."""

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.data_dir = data_dir
        which = ("LOGIN", "OPERATOR", "WORKERS")
        chosen = {f"CERROJO_{name}_PORT": str(tcp_ports.choose("127.0.0.1")) for name in which}
        self.env = {
            **{k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")},
            **chosen,
            "CERROJO_DATA_DIR": str(data_dir),
            "CERROJO_CACHE_DIR": str(cache_dir),
            "CERROJO_PARTITIONS": "2",
            "CERROJO_ARGON2_MEMORY_KIB": "1024",
            "CERROJO_DEADLINE_SECONDS": "25",  # a busy machine is not what a test is about
        }
        self.output = data_dir.with_suffix(".out")
        self.make: subprocess.Popen[bytes] | None = None
        self._life, self._watched = socket.socketpair()  # when the test dies, it stops
        self.env[FD_VARIABLE] = str(self._watched.fileno())

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a process group of its own as a terminal does."""
        python = Path(sys.executable).parent
        # The virtual environment is the one that runs this test, whatever its stamp says.
        command = ["make", "-o", ".venv/installed", f"BIN={python}", "up"]
        with self.output.open("wb") as output:
            self.make = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._watched.fileno()],
            )
        return self.make

    @property
    def said(self) -> str:
        """The text that a person has read so far."""
        return self.output.read_text()

    def wait(self, until: Callable[[], object]) -> None:
        """Return when it is so; fail when `make` ends before."""
        assert self.make
        for _ in range(int(PATIENCE_SECONDS / 0.05)):
            if until():
                return
            try:
                self.make.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        assert until(), self.said

    def wait_up(self) -> None:
        """Return when the screen is there."""
        self.wait(lambda: "Ctrl-C stops everything" in self.said)

    def processes(self) -> list[psutil.Process]:
        """All that live and have this system's data directory in their environment."""
        mark, found = str(self.data_dir), []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CERROJO_DATA_DIR") == mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, spare: Container[psutil.Process] = ()) -> None:
        """End whatever still lives, at once, but these; some go by themselves meanwhile."""
        for process in self.processes():
            if process not in spare:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if self.make:
            self.make.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Free what this object has open."""
        self.kill()
        self._life.close()
        self._watched.close()


def curl(line: str) -> requests.Response:
    """Do what a printed curl line does; again where the answer is `NOT_HEARD`."""
    while NOT_HEARD in (answer := _curl(line)).text:
        pass
    return answer


def _curl(line: str) -> requests.Response:
    words = shlex.split(line, comments=True)
    assert words[:2] == ["curl", "-i"]
    if "-d" not in words:
        return requests.get(words[-1], timeout=60)
    name, value = words[words.index("-H") + 1].split(": ")
    content = words[words.index("-d") + 1]
    return requests.post(words[-1], data=content, headers={name: value}, timeout=60)
