"""A system of the attacks' own, as `make up` starts it, with all that can be attacked."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.attacks.attack import Port, System

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 240.0, 30.0
PROJECT = Path(__file__).parents[2]
PORTS = ("LOGIN", "OPERATOR", "WORKERS", "KAFKA")
LOG = PROJECT / ".cerrojo" / "attacked.log"
"""What the last system of these logged, which says why a promise broke."""


@contextmanager
def own_system() -> Iterator[System]:
    """Start it on free ports and new data, and stop it at the end. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="attacked") as folder:
        ports = _free_ports()
        token = secrets.token_hex(16)
        system = System(
            Port(HOST, ports["LOGIN"]), Port(HOST, ports["OPERATOR"]), block_token=token
        )
        environment = {
            "CERROJO_CACHE_DIR": str(PROJECT / ".cerrojo" / "cache"),  # that of `make up`
            **os.environ,
            **{f"CERROJO_{name}_PORT": str(port) for name, port in ports.items()},
            "CERROJO_DATA_DIR": f"{folder}/data",
            "CERROJO_TRUSTED_PROXIES": system.proxy,
            "CERROJO_SESSION_KEYS_FILE": f"{folder}/session-keys",
            "CERROJO_SERVICE_TOKENS_FILE": f"{folder}/service-tokens",
        }
        digest = hashlib.sha256(token.encode()).hexdigest()
        Path(folder, "service-tokens").write_text(f"attacker {digest} block\n")
        _python("cerrojo", "keys", "session", "new-key", f"{folder}/session-keys")
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("wb") as output:
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
            _wait(process, (ports["OPERATOR"], ports["WORKERS"]))
            yield system
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _free_ports() -> dict[str, int]:
    with ExitStack() as taken:
        listening = [taken.enter_context(socket.create_server((HOST, 0))) for _ in PORTS]
        return {name: s.getsockname()[1] for name, s in zip(PORTS, listening, strict=True)}


def _python(*arguments: str) -> None:
    command = [sys.executable, "-m", *arguments]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def _wait(process: subprocess.Popen[bytes], ports: tuple[int, ...]) -> None:
    due = time.monotonic() + START_SECONDS
    while not all(map(_ready, ports)):
        if process.poll() is not None or time.monotonic() > due:
            raise RuntimeError(f"The system did not come up:\n{LOG.read_text()}")
        time.sleep(0.1)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
