"""A gateway process that starts while everything that it needs is away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

from bench.extra import login_processes
from gateway.launch import LOADED, Launcher, hash_sockets
from gateway.web.listener import listen
from processes import Event, ProcessManager, Ready, Said
from tests.paths import PROJECT

PATIENCE_SECONDS = 60.0
NOBODY = "127.0.0.1:9"
AWAY = {
    "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
    "DATABASE_URL": f"postgresql://nobody@{NOBODY}/nothing",
}


def login(host: str, port: int) -> int:
    """The status of a login at this port."""
    client = HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    with closing(client):
        body = '{"user": "ana", "pass": "correct horse"}'
        client.request("POST", "/login", body, {"Content-Type": "application/json"})
        return client.getresponse().status


def test_it_is_ready_to_say_503_and_not_loaded(tmp_path: Path):
    """Else its manager would take it for one that cannot start, and kill it again and again."""
    events: list[Event] = []
    with (
        listen("login_host", "127.0.0.1", "login_port", 0) as listener,
        hash_sockets(tmp_path) as sockets,
        closing(ProcessManager(events.append)) as manager,
    ):
        spec = Launcher({"login": listener}, sockets, 5.0).spec("login 1")
        manager.add(
            replace(
                spec,
                cwd=PROJECT,
                env={**spec.env, **AWAY},
                log=Path(os.devnull),
                start_timeout=PATIENCE_SECONDS,
            )
        )
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while not any(isinstance(event, Ready) for event in events):
                assert time.monotonic() < until, events
                manager.step(0.1)
            assert login(*listener.getsockname()) == 503
            manager.step(0.0)
            assert not [e for e in events if isinstance(e, Said) and e.key == LOADED]
        finally:
            manager.kill()
            while not manager.stopped:
                manager.step(0.1)


def test_those_of_the_bench_get_what_they_need(tmp_path: Path):
    """The same as those of the gateway: they serve, and are ready."""
    (tmp_path / "logs").mkdir()
    system = SimpleNamespace(env={**AWAY, "CERROJO_DATA_DIR": str(tmp_path)}, further=[])
    with login_processes(system, 2, "bench.timed_gateway") as (port, pids, _):
        assert len(pids) == 2
        assert login("127.0.0.1", port) == 503


def test_a_list_of_passwords_that_is_not_there_is_said_at_once():
    """Else each login process would fail for it, again and again."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=PROJECT,
        env={**os.environ, **AWAY, "CERROJO_COMMON_PASSWORDS": "/nowhere/at/all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("CERROJO_COMMON_PASSWORDS is '/nowhere/at/all': this file cannot")
