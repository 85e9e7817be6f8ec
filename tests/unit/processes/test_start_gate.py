"""Processes that are started before what they need."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from processes import Event, Exited, ProcessManager, ProcessSpec, Ready, Said, start_gate
from tests.harness.waiting import wait_until
from tests.paths import PROJECT

WAITS = (
    "import sys; from processes import manager_link, start_gate\n"
    "manager_link().say('loaded', '')\n"
    "try: start_gate.await_start_gate()\n"
    "finally: manager_link().say('cleaned', '')\n"
    "manager_link().ready(); sys.stdin.read(); __import__('time').sleep(600)"
)
PASSES_ON = (
    "import subprocess, sys; from processes import start_gate\n"
    f"sys.exit(subprocess.run([sys.executable, '-c', {WAITS!r}], pass_fds=[*start_gate.pass_fds(), "
    "int(__import__('os').environ['CERROJO_MANAGER_FD'])]).returncode)"
)


class Stage:
    """A manager, a gate, and what was heard."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.manager = ProcessManager(self.heard.append)
        self.gate = start_gate.StartGate()

    def start(self, code: str) -> None:
        """Start a process, and return when it has said that it waits."""
        spec = ProcessSpec("early", (sys.executable, "-c", code), cwd=PROJECT, log=Path(os.devnull))
        self.manager.add(self.gate.before(spec))
        began = self.manager.states["early"].since

        def waits() -> bool:
            self.manager.step(0.05)
            return self.manager.states["early"].since > began

        wait_until(waits)

    def wait_for(self, *kinds: type[Event]) -> None:
        """Return when these events have come, in this order among others."""

        def come() -> bool:
            self.manager.step(0.05)
            left = iter(type(event) for event in self.heard)
            return all(kind in left for kind in kinds)

        wait_until(come)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """One without processes."""
    stage = Stage()
    yield stage
    stage.manager.kill()
    while not stage.manager.stopped:
        stage.manager.step(0.05)
    stage.manager.close()


@pytest.mark.parametrize("code", [WAITS, PASSES_ON])
def test_it_begins_when_its_gate_opens(stage: Stage, code: str) -> None:
    """Not before, also one that another process has started; and at once when it starts again."""
    stage.start(code)
    assert [event.key for event in stage.heard if isinstance(event, Said)] == ["loaded"]
    stage.gate.open()
    stage.wait_for(Said, Said, Ready)
    stage.manager.restart("early")
    stage.wait_for(Ready, Exited, Ready)


def test_one_that_is_stopped_while_it_waits_cleans_up(stage: Stage) -> None:
    """A supervisor has a directory for its metrics by then."""
    stage.start(WAITS)
    stage.manager.remove("early")
    stage.wait_for(Said, Exited)
    said = [event.key for event in stage.heard if isinstance(event, Said)]
    assert said == ["loaded", "cleaned"]


def test_one_without_a_gate_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""
    monkeypatch.delenv(start_gate.FD_VARIABLE, raising=False)
    start_gate.await_start_gate()
    assert start_gate.pass_fds() == ()


def test_a_manager_passes_on_that_its_own_processes_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its own manager would end it, as one that cannot start."""
    said: list[str] = []
    link = SimpleNamespace(wait_on=lambda: said.append("waits"))
    monkeypatch.setattr(start_gate, "manager_link", lambda: link)
    gate = start_gate.StartGate()
    spec = gate.before(ProcessSpec("manager", ("manager",)))
    monkeypatch.setenv(start_gate.FD_VARIABLE, spec.env[start_gate.FD_VARIABLE])
    start_gate.tell_if_closed()
    assert said == ["waits"]
    gate.open()
    start_gate.tell_if_closed()
    assert said == ["waits"]
