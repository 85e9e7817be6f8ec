"""Parts that need each other, played by small real processes."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local.system import ERROR, Part, System
from processes import Event, Exited, Killed, ProcessSpec, Ready, Removed, Said, Started
from tests.paths import PROJECT

TALK = "from processes import manager_link; import time, sys; p = manager_link(); p.watch(1); "
AWAIT = "from processes.start_gate import await_start_gate; await_start_gate()"
SERVE = TALK + "p.ready(); time.sleep(600)"


class Stage:
    """A system and what was heard of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[Event] = []
        self.system = System(folder / "run", self.heard.append)

    def part(
        self,
        name: str,
        code: str,
        *after: str,
        once: bool = False,
        start_timeout: float = 30.0,
        drain_timeout: float = 5.0,
    ) -> Part:
        """A part that runs this Python code."""
        spec = ProcessSpec(
            name=name,
            command=(sys.executable, "-c", code),
            cwd=PROJECT,
            log=self.folder / f"{name}.log",
            start_timeout=start_timeout,
            silence_timeout=None,
            drain_timeout=drain_timeout,
        )
        return Part(spec, after, once)

    def run(self, until: Callable[[], object]) -> None:
        """Step until it is so."""
        for _ in range(2000):
            if until():
                return
            self.system.step(0.05)
        raise AssertionError(f"it did not come to that: {self.heard}")

    def stop(self) -> None:
        """Stop and wait for the end."""
        self.system.stop()
        self.run(lambda: self.system.stopped)

    def order(self, kind: type[Event]) -> list[str]:
        """The names of the events of this kind."""
        return [event.name for event in self.heard if isinstance(event, kind)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A system without parts."""
    stage = Stage(tmp_path)
    yield stage
    stage.system.kill()
    stage.run(lambda: stage.system.stopped)
    stage.system.manager.close()


def test_parts_wait_for_what_they_need(stage: Stage) -> None:
    """A server is not started before its files are there, nor a client before its server."""
    stage.system.start(
        [
            stage.part("files", "pass", once=True),
            stage.part("server", SERVE, "files"),
            stage.part("client", SERVE, "server"),
        ]
    )
    stage.run(lambda: stage.system.complete)
    moments = [(type(event), event.name) for event in stage.heard]
    assert moments.index((Exited, "files")) < moments.index((Started, "server"))
    assert moments.index((Ready, "server")) < moments.index((Started, "client"))
    stage.stop()
    assert stage.system.failure is None


def test_an_early_part_loads_before_what_it_needs_is_ready(stage: Stage) -> None:
    """Its start does not take place after that of what it needs, and it uses nothing before.

    One that has begun, and dies, does not wait when it starts again.
    """
    go = stage.folder / "go"
    server = f"{TALK} import os\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    client = f"{TALK} p.say('loaded', ''); {AWAIT}; p.ready(); time.sleep(600)"
    early = replace(stage.part("client", client, "server"), early=())
    stage.system.start([stage.part("server", server + "p.ready(); time.sleep(600)"), early])
    stage.run(lambda: any(isinstance(event, Said) for event in stage.heard))
    assert stage.order(Ready) == []
    go.touch()
    stage.run(lambda: stage.system.complete)
    assert stage.order(Ready) == ["server", "client"]
    pid = stage.system.manager.states["client"].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    stage.run(lambda: stage.order(Ready) == ["server", "client", "client"])
    stage.stop()


def test_a_stop_ends_a_part_that_waits_before_its_gate(stage: Stage) -> None:
    """It has nothing to finish, whatever it was to begin with is never there."""
    client = f"{TALK} {AWAIT}; p.say('began', ''); p.ready()"
    early = replace(stage.part("client", client, "server"), early=())
    stage.system.start([stage.part("server", "import time; time.sleep(600)"), early])
    stage.run(lambda: sorted(stage.order(Started)) == ["client", "server"])
    stage.stop()
    assert stage.order(Said) == []


def test_parts_are_stopped_one_after_the_other(stage: Stage) -> None:
    """The last one first, and the next only when it is gone."""
    stage.system.start([stage.part(name, SERVE) for name in ("a", "b", "c")])
    stage.run(lambda: stage.system.complete)
    stage.heard.clear()
    stage.stop()
    ends = [(type(event), event.name) for event in stage.heard]
    assert ends == [(kind, name) for name in ("c", "b", "a") for kind in (Exited, Removed)]


def test_parts_of_a_group_are_stopped_together(stage: Stage) -> None:
    """One of them may end only because another one does; the next group waits for both."""
    mark = stage.folder / "first-ended"
    ends = TALK + (
        "import os, signal; from pathlib import Path; "
        f"signal.signal(15, lambda *_: (Path({str(mark)!r}).touch(), os._exit(0))); "
        "p.ready(); time.sleep(600)"
    )
    follows = TALK + (
        "import os, signal; signal.pthread_sigmask(0, [15]); p.ready(); signal.sigwait([15])\n"
        f"while not os.path.exists({str(mark)!r}): time.sleep(0.01)"
    )
    server = stage.part("server", SERVE)
    group = [stage.part(*each, drain_timeout=60.0) for each in (("a", ends), ("b", follows))]
    stage.system.start([server, *(replace(part, group="clients") for part in group)])
    stage.run(lambda: stage.system.complete)
    stage.stop()
    *clients, last = stage.order(Removed)
    assert sorted(clients) == ["a", "b"]  # which one is noticed first is chance
    assert last == "server"
    assert stage.order(Killed) == []


def test_a_part_that_ends_while_starting_is_a_failure(stage: Stage) -> None:
    """The sentence says which, how and where, with the end of this start's log alone."""
    (stage.folder / "server.log").write_text("of yesterday\n")
    code = "import sys; sys.exit('no space left')"
    stage.system.start([stage.part("server", code), stage.part("client", SERVE, "server")])
    stage.run(lambda: stage.system.failure)
    failure = stage.system.failure or ""
    for words in ("server could not be started", "exit code 1", "server.log", "no space left"):
        assert words in failure
    assert "of yesterday" not in failure
    stage.stop()
    assert "client" not in stage.order(Started)


def test_a_step_that_fails_is_a_failure(stage: Stage) -> None:
    """It is not tried again, and its own words are the reason."""
    code = TALK + f"p.say({ERROR!r}, 'The data is of another version.'); sys.exit(1)"
    stage.system.start([stage.part("files", code, once=True)])
    stage.run(lambda: stage.system.failure)
    assert stage.system.failure == "The data is of another version."
    stage.stop()
    assert stage.order(Started) == ["files"]


def test_a_part_that_never_gets_ready_is_a_failure(stage: Stage) -> None:
    """A person is not left waiting."""
    stage.system.start([stage.part("server", "import time; time.sleep(600)", start_timeout=0.2)])
    stage.run(lambda: stage.system.failure)
    assert "it was not ready" in (stage.system.failure or "")
    stage.stop()


def test_a_part_that_dies_later_is_restarted(stage: Stage) -> None:
    """After everything was there a death is no failure of the whole."""
    stage.system.start([stage.part("server", SERVE)])
    stage.run(lambda: stage.system.complete)
    pid = stage.system.manager.states["server"].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    stage.run(lambda: stage.order(Ready) == ["server", "server"])
    assert stage.system.failure is None
    stage.stop()


def test_a_stop_while_starting_leaves_nothing(stage: Stage) -> None:
    """Parts that have not begun do not begin, and those that have are ended."""
    stage.system.start(
        [
            stage.part("files", "import time; time.sleep(600)", once=True),
            stage.part("server", SERVE, "files"),
        ]
    )
    stage.run(lambda: stage.order(Started))
    stage.stop()
    assert stage.order(Started) == ["files"]
    assert stage.system.manager.states == {}


def test_a_step_may_end_by_itself_while_another_part_is_stopped(stage: Stage) -> None:
    """Both ends are noticed at once, and it is the next one to be stopped."""
    go = stage.folder / "go"
    files = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    stage.system.start([stage.part("files", files, once=True), stage.part("server", SERVE)])
    stage.run(lambda: stage.order(Ready))
    ends = {
        name: os.pidfd_open(state.pid or 0) for name, state in stage.system.manager.states.items()
    }
    stage.system.stop()
    select.select([ends["server"]], [], [])
    go.touch()
    select.select([ends["files"]], [], [])
    for end in ends.values():
        os.close(end)
    stage.run(lambda: stage.system.stopped)
    assert stage.system.failure is None


def test_nothing_is_started_after_a_failure(stage: Stage) -> None:
    """Also when what it waited for gets there afterwards."""
    go = stage.folder / "go"
    files = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)"
    stage.system.start(
        [
            stage.part("files", files, once=True),
            stage.part("server", SERVE, "files"),
            stage.part("broken", "raise SystemExit(1)"),
        ]
    )
    stage.run(lambda: stage.system.failure)
    go.touch()
    stage.run(lambda: "files" in stage.system.ready)
    stage.stop()
    assert "server" not in stage.order(Started)


def test_nothing_is_started_during_a_stop(stage: Stage) -> None:
    """Also when what it waited for gets there while another part still drains."""
    go, gone = stage.folder / "go", stage.folder / "gone"
    files = f"{TALK} from pathlib import Path; go, gone = Path({str(go)!r}), Path({str(gone)!r})"
    server = (
        f"{files}\n"
        "while not go.exists(): time.sleep(0.02)\n"
        "p.ready(); gone.touch(); time.sleep(600)"
    )
    draining = (
        f"{files}; import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: go.touch()); p.ready()\n"
        "while not gone.exists(): time.sleep(0.02)\n"
    )
    stage.system.start(
        [
            stage.part("server", server),
            stage.part("client", SERVE, "server"),
            stage.part("other", draining),
        ]
    )
    stage.run(lambda: stage.order(Ready) == ["other"])
    stage.stop()
    assert "client" not in stage.order(Started)


@pytest.mark.parametrize("impatient", [False, True])
def test_what_a_killed_part_has_started_is_killed_too(stage: Stage, impatient: bool) -> None:
    """A manager among the parts that is late cannot leave its own processes behind."""
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    code = (
        f"{TALK} import subprocess, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"c = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True); "
        "p.say('child', str(c.pid)); p.ready(); time.sleep(600)"
    )
    stage.system.start([stage.part("manager", code, drain_timeout=0.2)])
    stage.run(lambda: stage.system.complete)
    (pid,) = (int(event.value) for event in stage.heard if isinstance(event, Said))
    process = psutil.Process(pid)
    if impatient:
        stage.system.kill()
        stage.run(lambda: stage.system.stopped)
    else:
        stage.stop()
    assert psutil.wait_procs([process], timeout=30)[1] == []
