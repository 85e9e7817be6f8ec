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
from tests.chaos.faults import KINDS, Faults, Outcome, now
from tests.chaos.load import Load
from tests.harness.evidence import Answered


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
        pid=lambda _: 7,
        parts=(),
        restart=lambda _: None,
        release=lambda _: None,
        wait_until_ready=lambda: None,
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


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is so at once, or never."""
    monkeypatch.setattr(module, "until", lambda so: so())


def brought(kind: str, world: Any, load: Load) -> Outcome:
    """The outcome of a fault."""

    async def run() -> Outcome:
        return await KINDS[kind].bring(Faults(world, load), random.Random(1))

    return asyncio.run(run())


@pytest.mark.usefixtures("signals", "at_once")
@pytest.mark.parametrize(("lives", "says"), [(False, None), (True, "its workers go on without it")])
def test_workers_end_where_their_supervisor_was_killed(
    monkeypatch: pytest.MonkeyPatch, lives: bool, says: str | None
):
    """Else two hosts would decide for ever."""

    async def probe(*_: object) -> float:
        return now()

    load = Load([], seed=1)
    monkeypatch.setattr(module, "lives", lambda _: lives)
    monkeypatch.setattr(load, "probe", probe)
    assert brought("supervisor", world(), load).trouble == says


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("status", "begins", "says"),
    [
        (200, 1, None),
        (429, 1, None),
        (503, -1, None),  # by the fault before
        (503, 1, "1 logins failed"),
        (0, 1, "1 logins failed"),
    ],
)
def test_no_login_fails_by_a_planned_restart(status: int, begins: int, says: str | None):
    """As the documents say."""
    pids, load, host = iter((7, 8)), Load([], seed=1), world()
    host.pid = lambda _: next(pids)
    begin = now() + 1_000 * begins
    host.restart = lambda _: load.answers.append(Answered("ana", True, status, begin, begin + 5))
    assert brought("host-restarted", host, load).trouble == says


@pytest.mark.usefixtures("at_once")
def test_a_host_that_does_not_end_was_not_restarted():
    """Although it is ready."""
    assert brought("host-restarted", world(), Load([], seed=1)).trouble == "it did not end"
