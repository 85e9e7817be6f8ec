"""A server's time of day is set from outside while it runs, and its waits are as they were."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.network.server_clocks import ServerClocks, why_no_clocks

PROGRAM = """
import queue, sys, time
for _ in sys.stdin:
    began = time.monotonic()
    try:
        queue.Queue().get(timeout=0.2)
    except queue.Empty:
        print(time.time(), time.monotonic() - began, flush=True)
"""


def test_a_clock_is_set_while_its_server_runs(tmp_path: Path) -> None:
    """Ahead, behind and right again; a wait of 0.2 s takes as long each time."""
    if reason := why_no_clocks():
        pytest.skip(reason)
    clocks = ServerClocks(tmp_path, ["server"])
    clocks.prepare()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM],
        env={**os.environ, **clocks.environment("server")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        stdin, stdout = server.stdin, server.stdout
        assert stdin is not None
        assert stdout is not None

        def look() -> float:
            """How much its clock is ahead."""
            print(file=stdin, flush=True)
            shown, waited = map(float, stdout.readline().split())
            assert 0.19 < waited < 60
            return shown - time.time()

        for ahead in (0.0, 300.0, -90.0, 0.0):
            clocks.set("server", ahead)
            until = time.monotonic() + 60
            while abs(look() - ahead) > 5:
                assert time.monotonic() < until, f"its clock is not {ahead} s ahead"
        stdin.close()
