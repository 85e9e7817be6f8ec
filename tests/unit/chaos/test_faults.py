"""The faults of chaos, upon a world of which nothing runs."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos import faults as module
from tests.chaos.faults import KINDS, Faults


class Signals:
    """Notes the signals in the place of sending them."""

    def __init__(self) -> None:
        self.stopped: set[int] = set()
        self.ever_stopped: set[int] = set()

    def send(self, number: signal.Signals, pids: Iterable[int]) -> None:
        if number == signal.SIGSTOP:
            self.stopped.update(pids)
            self.ever_stopped |= self.stopped
        elif number == signal.SIGCONT:
            self.stopped.difference_update(pids)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Signals:
    """What came of all signals."""
    signals = Signals()
    monkeypatch.setattr(module, "send", signals.send)
    return signals


def world() -> Any:
    """Each process of a kind that may stand still."""
    return SimpleNamespace(
        servers=SimpleNamespace(brokers=["kafka-1"], pids={"kafka-1": 1}),
        database=SimpleNamespace(
            processes=lambda: [3, 4], owners=lambda: [SimpleNamespace(pid=8, partition=0)]
        ),
        server_process=lambda _: 2,
        login_processes=lambda: [5],
        hash_processes=lambda: [6],
        family=lambda _: [7, 9],
        partitions_of=lambda _: [0],
    )


@pytest.mark.parametrize(
    "kind", [name for name in KINDS if name.endswith("-frozen") or name == "one-broker"]
)
def test_what_stands_still_goes_on_where_the_run_is_ended(signals: Signals, kind: str):
    """By Ctrl-C, which cancels what is waited for; else it stood there for ever."""

    async def run() -> None:
        never = asyncio.Event()

        async def probe(*_: object) -> float | None:
            running.cancel()
            await never.wait()
            return None

        faults = Faults(world(), SimpleNamespace(probe=probe))  # type: ignore[arg-type]
        running = asyncio.ensure_future(KINDS[kind].bring(faults, random.Random(1)))
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert signals.ever_stopped
    assert not signals.stopped
