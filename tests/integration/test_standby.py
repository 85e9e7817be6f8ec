"""Standbys for the workers' places, with processes that only repeat what they are told."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from processes import ProcessSpec
from processes.spawn import Process
from workers.partition import launch
from workers.supervisor import standby
from workers.supervisor.standby import Standbys

REPEAT = """
import sys, time
from processes import manager_link
name = sys.argv[1]
if name.startswith("standby-"):
    manager_link().beat()
    was, name = name, manager_link().listen()
    manager_link().say("was", was)
manager_link().say("is", name)
time.sleep(60)
"""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standbys]:
    """Standbys that may follow each other at once, and are not taken for frozen ones."""
    monkeypatch.setattr(launch, "COMMAND", (sys.executable, "-c", REPEAT))
    monkeypatch.setattr(standby, "SIGN_OF_LIFE_SECONDS", 60.0)
    monkeypatch.setattr(standby, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(standby, "REFILL_SECONDS", 0.0)
    kept = Standbys()
    yield kept
    kept.close()
    assert kept.pids == []


def words(process: Process, number: int) -> list[str]:
    """The first words that it says."""
    heard: list[str] = []
    late = time.monotonic() + 60
    while len(heard) < number and time.monotonic() < late:
        heard += [line for line in process.receive() or [] if line != "beat"]
        time.sleep(0.01)
    return heard


def spawn(kept: Standbys, partition: int, number: int) -> list[str]:
    """The first words of a partition's worker."""
    process = kept.spawn(ProcessSpec("worker", (*launch.COMMAND, str(partition), "excused")))
    try:
        return words(process, number)
    finally:
        process.kill()
        while process.poll() is None:
            time.sleep(0.01)
        process.close()


def ready(kept: Standbys, number: int) -> None:
    """Return when so many standbys have given a sign of life."""
    late = time.monotonic() + 60
    while len(kept._heard) < number and time.monotonic() < late:
        kept.look()
        kept.refill()
        time.sleep(0.01)


def kill_first(kept: Standbys) -> int:
    """Kill the oldest standby."""
    pid = kept.pids[0]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_two_workers_that_die_at_once_find_a_standby_each(kept: Standbys):
    """The third one waits for a start; afterwards there are two standbys again."""
    ready(kept, 2)
    kept.look()
    kept.refill()
    assert len(kept.pids) == 2
    assert spawn(kept, 7, 2) == ["say was standby-1", "say is 7 excused"]
    assert spawn(kept, 8, 2) == ["say was standby-2", "say is 8 excused"]
    assert spawn(kept, 9, 1) == ["say is 9"]
    ready(kept, 2)
    assert spawn(kept, 7, 2)[0] == "say was standby-1"


def test_a_dead_standby_is_passed_over_and_replaced_under_its_name(kept: Standbys):
    """Names say whose metrics are whose: no two that live have the same."""
    ready(kept, 2)
    kill_first(kept)
    assert spawn(kept, 1, 2) == ["say was standby-2", "say is 1 excused"]
    kept.refill()
    killed = kill_first(kept)
    kept.look()
    kept.refill()
    assert kept.pids
    assert killed not in kept.pids
    ready(kept, 2)
    assert spawn(kept, 2, 2) == ["say was standby-1", "say is 2 excused"]


def test_the_first_partitions_get_standbys_that_still_start(
    kept: Standbys, monkeypatch: pytest.MonkeyPatch
):
    """They are ready sooner than a process that starts now; one that takes long may be frozen."""
    kept.start(1)
    assert len(kept.pids) == 1
    assert spawn(kept, 7, 2) == ["say was standby-1", "say is 7 excused"]
    kept.start(4)
    assert len(kept.pids) == 2
    kill_first(kept)
    assert spawn(kept, 8, 2) == ["say was standby-2", "say is 8 excused"]
    monkeypatch.setattr(standby, "YOUNG_SECONDS", 0.0)
    kept.start(1)
    assert spawn(kept, 9, 1) == ["say is 9"]


def test_one_that_cannot_live_is_not_started_again_at_once(
    kept: Standbys, monkeypatch: pytest.MonkeyPatch
):
    """Else it would eat the processor of those that decide."""
    monkeypatch.setattr(standby, "REFILL_SECONDS", 60.0)
    kept.refill()
    kept.refill()
    assert len(kept.pids) == 1


def test_one_that_cannot_be_started_is_tried_again(kept: Standbys, monkeypatch: pytest.MonkeyPatch):
    """A host short of files or memory goes on deciding; it would end with all its workers."""

    def fail(spec: ProcessSpec) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as short:
        short.setattr(standby, "Child", fail)
        kept.start(2)
        kept.refill()
        kept.look()
        assert kept.pids == []
    kept.refill()
    assert len(kept.pids) == 1


def test_frozen_standbys_get_no_partition_and_are_replaced(
    kept: Standbys, monkeypatch: pytest.MonkeyPatch
):
    """With both frozen, a killed worker's partition would else wait for a start's whole timeout."""
    monkeypatch.setattr(standby, "SIGN_OF_LIFE_SECONDS", 0.7)
    monkeypatch.setattr(standby, "SILENCE_SECONDS", 1.5)
    ready(kept, 2)
    frozen = kept.pids
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    late = time.monotonic() + 60
    while max(kept._heard.values(), default=0) > time.monotonic() - 0.7:
        kept.look()
        time.sleep(0.01)
    assert spawn(kept, 7, 1) == ["say is 7"]
    while set(frozen) & set(kept.pids) or len(kept._heard) < 2:
        assert time.monotonic() < late
        kept.look()
        kept.refill()
        time.sleep(0.01)
    monkeypatch.setattr(standby, "SIGN_OF_LIFE_SECONDS", 60.0)
    assert spawn(kept, 8, 2)[1] == "say is 8 excused"


def test_a_standby_that_froze_while_nobody_looked_gets_no_partition(
    kept: Standbys, monkeypatch: pytest.MonkeyPatch
):
    """Its last signs of life are still in the pipe, and say nothing about now."""
    monkeypatch.setattr(standby, "SIGN_OF_LIFE_SECONDS", 0.7)
    ready(kept, 2)
    for child in kept._standbys.values():
        assert select.select([child.pipe], [], [], 60)[0], "it gives no sign of life"
        os.kill(child.pid, signal.SIGSTOP)
    time.sleep(0.8)  # nothing happens in this time, which is what makes the signs stale
    assert spawn(kept, 7, 1) == ["say is 7"]
