"""Clocks of servers that are set, upon a world of which nothing runs."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.faults import now
from tests.chaos.network import faults as module
from tests.chaos.network.faults import NETWORK_KINDS, NetworkFaults


class World:
    """A world with one clock, which may not listen."""

    def __init__(self, listens: bool) -> None:
        self.listens = listens
        self.ahead_ms = 0.0
        self.network = None
        self.server_clocks = SimpleNamespace(set=self.set)
        self.database = SimpleNamespace(clock_ms=self.read)
        self.clocks: list[Any] = []
        self.database_clocks: list[Any] = []
        self.parts = ()

    def set(self, _: str, seconds: float) -> None:
        self.ahead_ms = 1_000 * seconds * self.listens

    def read(self) -> float:
        return now() + self.ahead_ms

    def append_ms(self, _: str) -> float:
        return self.read()

    def server_process(self, _: str) -> int:
        return 7

    def in_sync(self) -> bool:
        return True

    def wait_until_ready(self) -> None: ...


@pytest.mark.parametrize("kind", ["clock-broker", "clock-database"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_clock_that_was_not_set_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, kind: str, listens: bool
):
    """Where libfaketime is not heard, nothing was tried."""

    async def probe(_: object, since: float, *__: object) -> float:
        return since

    for name in ("TAKES_SECONDS", "LEAST", "MOST"):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(module, "send", lambda *_: None)
    load: Any = SimpleNamespace(
        probe=probe, partitions=4, doors=["a gateway"], slowest_since=lambda _: 0.0
    )
    world: Any = World(listens)

    async def run() -> str | None:
        faults = NetworkFaults(world, load)
        outcome = await NETWORK_KINDS[kind].bring(faults, random.Random(1))
        return outcome.trouble

    trouble = asyncio.run(run())
    assert trouble is None if listens else str(trouble).startswith("the clock was ")
