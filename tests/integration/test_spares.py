"""Spares for the workers' places, with processes that only repeat what they are told."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from processes import ProcessSpec
from processes.spawn import Process
from workers import spares
from workers.spares import Spares

REPEAT = """
import sys, time
from processes import parent
name = sys.argv[1]
if name.startswith("spare-"):
    parent().say("was", name)
    name = parent().listen()
parent().say("is", name)
time.sleep(60)
"""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spares]:
    """Spares that may follow each other at once."""
    monkeypatch.setattr(spares, "COMMAND", (sys.executable, "-c", REPEAT))
    monkeypatch.setattr(spares, "AGAIN_SECONDS", 0.0)
    kept = Spares()
    yield kept
    kept.close()
    assert kept.pids == []


def words(process: Process, number: int) -> list[str]:
    """What it says first."""
    heard: list[str] = []
    late = time.monotonic() + 20
    while len(heard) < number and time.monotonic() < late:
        heard += process.receive() or []
        time.sleep(0.01)
    return heard


def spawn(kept: Spares, partition: int, number: int) -> list[str]:
    """What the worker of a partition says first."""
    process = kept.spawn(ProcessSpec("worker", (*spares.COMMAND, str(partition), "excused")))
    try:
        return words(process, number)
    finally:
        process.kill()
        while process.poll() is None:
            time.sleep(0.01)
        process.close()


def kill_first(kept: Spares) -> int:
    """Kill the oldest spare."""
    pid = kept.pids[0]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_two_workers_that_die_at_once_find_a_spare_each(kept: Spares):
    """The third one waits for a start; afterwards there are two spares again."""
    for _ in range(3):
        kept.refill()
    assert len(kept.pids) == 2
    assert spawn(kept, 7, 2) == ["say was spare-1", "say is 7 excused"]
    assert spawn(kept, 8, 2) == ["say was spare-2", "say is 8 excused"]
    assert spawn(kept, 9, 1) == ["say is 9"]
    kept.refill()
    assert spawn(kept, 7, 2)[0] == "say was spare-1"


def test_a_dead_spare_is_passed_over_and_replaced_under_its_name(kept: Spares):
    """Names say whose metrics are whose: no two that live have the same."""
    kept.refill()
    kept.refill()
    kill_first(kept)
    assert spawn(kept, 1, 2) == ["say was spare-2", "say is 1 excused"]
    kept.refill()
    killed = kill_first(kept)
    kept.refill()
    assert kept.pids
    assert killed not in kept.pids
    assert spawn(kept, 2, 2) == ["say was spare-1", "say is 2 excused"]


def test_one_that_cannot_live_is_not_started_again_at_once(
    kept: Spares, monkeypatch: pytest.MonkeyPatch
):
    """Else it would eat the processor of those that decide."""
    monkeypatch.setattr(spares, "AGAIN_SECONDS", 60.0)
    kept.refill()
    kept.refill()
    assert len(kept.pids) == 1
