"""A gateway process that starts while everything that it needs is away."""

from __future__ import annotations

import os
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from gateway.serve import LISTENER, LOADED, VISITORS
from gateway.sockets import listen
from gateway.visitors import shared_file
from processes import Event, Keeper, ProcessSpec, Ready, Said

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds
NOBODY = "127.0.0.1:9"


def test_it_is_ready_to_say_503_and_not_loaded():
    """Else its keeper would take it for one that cannot start, and kill it again and again."""
    events: list[Event] = []
    keeper = Keeper(events.append)
    with listen("login_host", "127.0.0.1", "login_port", 0) as listener, shared_file() as visitors:
        files = (listener.fileno(), visitors.fileno())
        keeper.add(
            ProcessSpec(
                name="gateway",
                command=(sys.executable, "-m", "gateway.serve", "login", "1"),
                cwd=ROOT,
                env={
                    **dict(zip((LISTENER, VISITORS), map(str, files), strict=True)),
                    "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
                    "DATABASE_URL": f"postgresql://nobody@{NOBODY}/nothing",
                },
                log=Path(os.devnull),
                pass_fds=files,
                start_timeout=PATIENCE,
            )
        )
        try:
            until = time.monotonic() + PATIENCE
            while not any(isinstance(event, Ready) for event in events):
                assert time.monotonic() < until, events
                keeper.step(0.1)
            client = HTTPConnection(*listener.getsockname(), timeout=PATIENCE)
            login = '{"user": "ana", "pass": "correct horse"}'
            client.request("POST", "/login", login, {"Content-Type": "application/json"})
            assert client.getresponse().status == 503
            client.close()
            keeper.step(0.0)
            assert not [e for e in events if isinstance(e, Said) and e.key == LOADED]
        finally:
            keeper.kill()
            while not keeper.stopped:
                keeper.step(0.1)
            keeper.close()
