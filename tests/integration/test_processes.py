"""The manager, the wrapper and the orphans with real processes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from processes import (
    Event,
    Exited,
    Frozen,
    Killed,
    ProcessManager,
    ProcessSpec,
    Ready,
    Removed,
    Said,
    Unrecorded,
    orphans,
    parent_death,
)
from tests.paths import PROJECT

E = TypeVar("E", bound=Event)

PATIENCE_SECONDS = 60.0  # how long a test waits for what has to happen before it fails

# A child that says its pid, is ready and works until SIGTERM.
WORK = """
import os, signal, sys, time
from processes import manager_link
me = manager_link()
me.watch(grace=60)
me.say("pid", str(os.getpid()))
me.ready()
while True:
    me.beat()
    time.sleep(0.05)
"""
# The same, but it does not listen to SIGTERM and gives itself up soon after its manager's death.
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WORK.replace(
    "grace=60", "grace=0.2"
)
# A topmost process with one child, whose code is its argument; it reports what the child says.
TOP = """
import sys
from pathlib import Path
from processes import ProcessManager, ProcessSpec, Ready, Said, stop_signals
def report(event):
    if isinstance(event, (Ready, Said)):
        print(getattr(event, "value", "ready"), flush=True)
manager = ProcessManager(report, records=Path(sys.argv[1]))
signals = stop_signals(manager)
command, drain = tuple(sys.argv[3:]), float(sys.argv[2])
manager.add(ProcessSpec("child", command, drain_timeout=drain, silence_timeout=None))
while not manager.stopped:
    manager.step(1.0)
    if signals.impatient:
        manager.kill()
    elif signals.asked:
        manager.stop()
print("stopped", flush=True)
"""


def python(code: str) -> tuple[str, ...]:
    """The command that runs this code."""
    return (sys.executable, "-c", code)


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The children find the packages of the project."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))


class Kept:
    """A manager and what it reported."""

    def __init__(self, records: Path | None = None) -> None:
        self.events: list[Event] = []
        self.manager = ProcessManager(self.events.append, records)

    def until(self, done: Callable[[], object]) -> None:
        """Step until this is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, f"not in {PATIENCE_SECONDS} s: {self.events}"
            self.manager.step(1.0)

    def ready(self, spec: ProcessSpec) -> int:
        """Start a process and wait until it is ready; returns its pid."""
        self.manager.add(spec)
        return self.next(Ready).pid

    def next(self, kind: type[E]) -> E:
        """The next event of this kind."""
        self.until(lambda: any(isinstance(event, kind) for event in self.events))
        while True:
            event = self.events.pop(0)
            if isinstance(event, kind):
                return event


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A manager that leaves nothing behind."""
    kept = Kept()
    yield kept
    kept.manager.kill()
    kept.until(lambda: kept.manager.stopped)
    kept.manager.close()


def wait_gone(pid: int) -> None:
    """Wait until a process that is not our child is dead."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            assert select.select([fd], [], [], PATIENCE_SECONDS)[0], f"process {pid} lives on"
        finally:
            os.close(fd)


def freeze(pid: int) -> None:
    """Stop a process, and wait until all its threads stand still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline
            time.sleep(0.005)


@contextlib.contextmanager
def top(records: Path, *command: str, drain: float = 600.0) -> Iterator[subprocess.Popen[str]]:
    """A topmost process that keeps this command; `stdout` has what it reports."""
    arguments = [*python(TOP), str(records), str(drain), *command]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        alarm = threading.Timer(PATIENCE_SECONDS, process.kill)  # reads must not wait for ever
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    """The next line of a topmost process's report."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_process_is_replaced(kept: Kept) -> None:
    """After kill -9 another process of that name becomes ready."""
    pid = kept.ready(ProcessSpec("worker", python(WORK)))
    os.kill(pid, signal.SIGKILL)
    assert kept.next(Exited).code == -signal.SIGKILL
    assert kept.next(Ready).pid != pid


def test_a_killed_process_is_replaced_where_the_system_has_no_pidfd(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death is noticed and its code known on systems other than Linux too."""
    monkeypatch.delattr(os, "pidfd_open")
    pid = kept.ready(ProcessSpec("worker", python(WORK)))
    os.kill(pid, signal.SIGKILL)
    assert kept.next(Exited).code == -signal.SIGKILL
    assert kept.next(Ready).pid != pid


def test_a_frozen_process_is_replaced(kept: Kept) -> None:
    """A stopped process gives no sign of life, and is killed and replaced."""
    pid = kept.ready(ProcessSpec("worker", python(WORK), silence_timeout=1.0))
    os.kill(pid, signal.SIGSTOP)
    assert kept.next(Frozen).pid == pid
    assert kept.next(Ready).pid != pid


def test_a_process_that_does_not_finish_is_killed(kept: Kept) -> None:
    """A process that does not listen to SIGTERM gets SIGKILL."""
    pid = kept.ready(ProcessSpec("worker", python(STUBBORN), drain_timeout=0.2))
    kept.manager.remove("worker")
    assert kept.next(Killed).pid == pid
    assert kept.next(Exited).code == -signal.SIGKILL
    kept.next(Removed)


def test_what_a_dead_process_left_in_its_group_is_killed(kept: Kept) -> None:
    """A death takes along what the process itself had started."""
    code = WORK.replace(
        "me.ready()",
        """
import subprocess
me.say("grandchild", str(subprocess.Popen(["sleep", "600"]).pid))
me.ready()""",
    )
    kept.manager.add(ProcessSpec("worker", python(code)))
    pid, grandchild = kept.next(Said).value, kept.next(Said).value
    os.kill(int(pid), signal.SIGKILL)
    kept.next(Exited)
    wait_gone(int(grandchild))


def test_a_probe_speaks_for_a_program_that_cannot(kept: Kept) -> None:
    """A probed program is ready when its probe says so."""
    answers = iter([False, OSError("refused"), True])

    def probe() -> bool:
        answer = next(answers, True)
        if isinstance(answer, OSError):
            raise answer
        return bool(answer)

    kept.ready(ProcessSpec("kafka", ("sleep", "600"), probe=probe, start_timeout=600.0))
    assert next(answers, "all used") == "all used"


def test_a_probe_that_hangs_is_silence(kept: Kept) -> None:
    """A probe that does not return costs the program its life and the manager nothing."""
    hang, released = threading.Event(), threading.Event()

    def probe() -> bool:
        if hang.is_set():
            released.wait(PATIENCE_SECONDS)
        return True

    pid = kept.ready(ProcessSpec("kafka", ("sleep", "600"), probe=probe, silence_timeout=1.5))
    hang.set()
    assert kept.next(Frozen).pid == pid
    released.set()
    hang.clear()
    assert kept.next(Ready).pid != pid


def test_a_process_is_started_as_its_spec_says(kept: Kept, tmp_path: Path) -> None:
    """Environment, directory, log and open files are those of the spec."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import os, socket, sys
print(os.environ["ANSWER"], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)
print("trouble", file=sys.stderr, flush=True)
socket.socket(fileno={server.fileno()}).accept()[0].sendall(b"hello")
"""
        spec = ProcessSpec(
            "worker",
            python(code + WORK),
            env={"ANSWER": "42"},
            cwd=tmp_path,
            log=tmp_path / "logs" / "worker.log",
            pass_fds=(server.fileno(),),
        )
        kept.manager.add(spec)
        with socket.create_connection(server.getsockname(), PATIENCE_SECONDS) as client:
            assert client.recv(100) == b"hello"
        kept.next(Ready)
    assert (tmp_path / "logs" / "worker.log").read_text() == f"42 {tmp_path} True\ntrouble\n"


def test_another_thread_can_wake_the_loop(kept: Kept) -> None:
    """A wake makes a step return that would wait for minutes."""
    thread = threading.Thread(target=kept.manager.wake)
    thread.start()
    kept.manager.step(600.0)
    thread.join()


def test_nobody_is_orphaned(tmp_path: Path) -> None:
    """When a manager is killed, its children end: by SIGTERM, or by themselves after the grace."""
    for code in (WORK, STUBBORN):
        with top(tmp_path, *python(code)) as process:
            pid = int(read(process))
            assert read(process) == "ready"
            process.kill()
            wait_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_topmost_process_stops_all(tmp_path: Path, number: int) -> None:
    """SIGTERM or Ctrl-C: the child finishes, then the manager."""
    with top(tmp_path, *python(WORK)) as process:
        pid = int(read(process))
        assert read(process) == "ready"
        process.send_signal(number)
        assert read(process) == "stopped"
        assert process.wait(PATIENCE_SECONDS) == 0
        wait_gone(pid)


def test_a_second_ctrl_c_waits_for_nothing(tmp_path: Path) -> None:
    """A child that drains for ten minutes is killed when Ctrl-C is pressed again."""
    code = STUBBORN.replace("signal.SIG_IGN", "lambda *_: me.say('asked', 'asked')")
    with top(tmp_path, *python(code)) as process:
        read(process)
        assert read(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert read(process) == "asked"
        process.send_signal(signal.SIGINT)
        assert read(process) == "stopped"


# A program without any knowledge of managers; its first argument is what to do on SIGTERM.
STRANGER = """
trap "$1" TERM
echo $$ > "$2.new"; mv "$2.new" "$2"
while :; do sleep 0.05; done
"""


def stranger(on_term: str, file: Path, grace: float = 60.0) -> tuple[str, ...]:
    """The command of a wrapped shell that writes its pid to a file."""
    return parent_death.command("sh", "-c", STRANGER, "sh", on_term, str(file), grace=grace)


def written(file: Path) -> int:
    """The pid in a file, once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


def test_a_wrapper_ends_as_its_command_does(tmp_path: Path) -> None:
    """Exit codes and signals are passed on, and a missing program is named."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        arguments = parent_death.command(*command)
        return subprocess.run(arguments, check=False, capture_output=True, text=True)

    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    assert run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    missing = run("no-such-program")
    assert missing.returncode == 1
    assert "no-such-program cannot be started" in missing.stderr


def test_a_wrapper_asks_in_the_command_s_own_way(tmp_path: Path) -> None:
    """SIGTERM to the wrapper becomes the signal that the command wants."""
    file = tmp_path / "pid"
    script = STRANGER.replace("TERM", "INT")
    command = ("sh", "-c", script, "sh", "exit 5", str(file))
    with subprocess.Popen(parent_death.command(*command, stop_signal="INT")) as process:
        written(file)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 5


@pytest.mark.parametrize(("on_term", "grace"), [("exit 0", 60.0), (":", 0.2)])
def test_a_wrapped_program_is_not_orphaned(tmp_path: Path, on_term: str, grace: float) -> None:
    """When the manager dies the command is asked to finish, and killed where it does not."""
    with top(tmp_path, *stranger(on_term, tmp_path / "pid", grace)) as process:
        pid = written(tmp_path / "pid")
        process.kill()
        wait_gone(pid)


def test_a_killed_wrapper_takes_its_command_along(tmp_path: Path) -> None:
    """Also without a manager that cleans up, the kernel stops the command of a killed wrapper."""
    with subprocess.Popen(stranger("exit 0", tmp_path / "pid")) as process:
        pid = written(tmp_path / "pid")
        process.kill()
        wait_gone(pid)


def test_a_killed_run_is_found_and_stopped(tmp_path: Path) -> None:
    """A frozen child outlives its killed manager, and is stopped by the next run's first act."""
    records = tmp_path / "records"
    with top(records, *python(WORK)) as process:
        pid = int(read(process))
        assert read(process) == "ready"
        freeze(pid)
        process.kill()
        process.wait()
        assert orphans.stop_all(records, grace=0.2) == ["child"]
        wait_gone(pid)
    assert list(records.iterdir()) == []
    assert orphans.stop_all(records, grace=0.2) == []


def test_leftovers_get_the_chance_to_finish(tmp_path: Path) -> None:
    """An orphan that listens to SIGTERM ends by itself."""
    marker = tmp_path / "finished"
    command = ("sh", "-c", STRANGER, "sh", f"touch {marker}; exit", str(tmp_path / "pid"))
    with subprocess.Popen(command, start_new_session=True) as process:
        written(tmp_path / "pid")
        record = orphans.path(tmp_path, "stranger")
        orphans.record(record, process.pid)
        assert orphans.stop(record, grace=PATIENCE_SECONDS)
    assert marker.exists()


def test_the_rest_of_a_session_is_found_without_its_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the recorded process is dead but what it had started is not, that is stopped.

    Also where /proc hides the processes of others from an ordinary user.
    """
    read_text = Path.read_text

    def hidden(path: Path) -> str:
        if path == Path("/proc/1/stat"):
            raise PermissionError(1, "Operation not permitted", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", hidden)
    code = "sleep 600 & echo $!; read wait"
    with subprocess.Popen(
        ["/bin/sh", "-c", code],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        rest = int(read(process))
        record = orphans.path(tmp_path, "stranger")
        orphans.record(record, process.pid)
        process.kill()
        process.wait()
    assert orphans.stop(record, grace=PATIENCE_SECONDS)
    wait_gone(rest)


@pytest.mark.parametrize("line", [1, 2])
def test_a_stranger_with_the_same_pid_is_left_alone(tmp_path: Path, line: int) -> None:
    """A process of another start time or another boot is not ours, whatever its pid."""
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as process:
        record = orphans.path(tmp_path, "stranger")
        orphans.record(record, process.pid)
        lines = record.read_text().splitlines()
        lines[line] = "1"
        record.write_text("\n".join(lines))
        assert not orphans.stop(record, grace=0.1)
        assert process.poll() is None
        assert not record.exists()
        process.kill()


def test_records_live_as_long_as_their_processes(tmp_path: Path) -> None:
    """A manager records each process and takes the record back when it is dead."""
    kept = Kept(tmp_path)
    kept.ready(ProcessSpec("worker partition 3", python(WORK)))
    assert [file.stem for file in tmp_path.iterdir()] == ["worker partition 3"]
    kept.manager.stop()
    kept.until(lambda: kept.manager.stopped)
    kept.manager.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_cannot_be_recorded_runs_all_the_same(tmp_path: Path) -> None:
    """Where the record cannot be written the manager says so and goes on."""
    (tmp_path / "file").touch()
    kept = Kept(tmp_path / "file")
    kept.manager.add(ProcessSpec("worker", python(WORK)))
    kept.next(Unrecorded)
    kept.next(Ready)
    kept.manager.stop()
    kept.until(lambda: kept.manager.stopped)
    kept.manager.close()
