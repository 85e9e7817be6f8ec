"""A short form of `make chaos KINDS=network`, where this machine lets us make namespaces."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest

from loadtest.histories import ClockApart
from local.postgres import NAME as POSTGRES
from tests.chaos.network import faults
from tests.chaos.network.faults import NetworkFaults
from tests.chaos.network.server_clocks import why_no_clocks
from tests.chaos.network.servers import NetworkServers
from tests.chaos.network.world import NODES, NetworkWorld
from tests.chaos.run import run_in
from tests.harness.namespaces import Namespaces
from tests.harness.optional_network import namespaces_or_skip

SEED = 3
FAULTS = [
    "one-way-gateway-broker",
    "restored",
    "clock-broker",
    "policy",  # while a line is cut
    "resized",  # while a line is cut
    "slow-broker",
    "deaf-gateway",
]
"""One of each kind of step, as far as there is time; those that find most come first."""

SECONDS = 60.0
"""Most that all of it takes, if no single step is held up."""

AFTER = 12.0
"""Seconds of it for the last step, the end of all parts and the judgement."""

CLOCKS = {"gateway 2": 30.0, "host B": -5.0}
"""Seconds by which parts have another time from the beginning."""

DATABASE_CLOCK = 90.0


@pytest.fixture
def network() -> Iterator[Namespaces]:
    """Namespaces for all that runs."""
    if reason := why_no_clocks():
        pytest.skip(reason)
    with namespaces_or_skip(NODES) as made:
        yield made


def test_a_network_that_is_not_clean_breaks_no_promise(
    network: Namespaces, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cuts, a slow line, clocks apart, a database that goes back, and commands, all under load."""
    began = time.monotonic()
    monkeypatch.setattr(faults, "LEAST", 0.5)
    monkeypatch.setattr(faults, "MORE", 0.5)
    monkeypatch.setattr(faults, "RESTORED_MOST_SECONDS", 2.0)
    os.chmod(tmp_path, 0o755)  # noqa: S103  # Postgres may run as a user of its own
    said: list[str] = []
    with NetworkServers(tmp_path / "data", cache_dir, network) as servers:
        servers.clocks.set(POSTGRES, DATABASE_CLOCK)
        world = NetworkWorld(tmp_path, servers, CLOCKS)
        world.database_clocks.append(ClockApart(-inf, inf, DATABASE_CLOCK * 1000))
        done = run_in(
            *(world, NetworkFaults, SEED, FAULTS, said.append),
            pause=0.2,
            warm=0.0,
            registers=True,
            end=began + SECONDS - AFTER,
        )
    assert done.differences == [], "\n".join(said)
    assert done.outcomes
    assert {200, 401} <= {answer.status for answer in done.evidence.answers or []}
