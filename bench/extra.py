"""Processes beside a running system, until the end of a measurement."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.system import HOST, PROJECT, Up
from gateway.serve import LISTENER
from gateway.sockets import BACKLOG
from processes import ProcessSpec
from processes.spawn import Child

READY_SECONDS = 120.0
WORK_SECONDS = 600.0
DRAIN_SECONDS = 10.0


@contextmanager
def started(*specs: ProcessSpec) -> Iterator[list[int]]:
    """Start these, and give their pids when all are ready."""
    with ExitStack() as stack:
        children = [stack.enter_context(_child(spec)) for spec in specs]
        for child, spec in zip(children, specs, strict=True):
            if "ready" not in _lines(child, READY_SECONDS):
                raise BenchError(f"{spec.name} did not become ready within {READY_SECONDS:g} s.")
        yield [child.pid for child in children]


@contextmanager
def login_processes(
    system: Up, count: int, module: str = "gateway.serve"
) -> Iterator[tuple[int, list[int], float]]:
    """Further login processes of this system: their port, their pids, and how long they took."""
    with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
        listener.setblocking(False)
        specs = [
            ProcessSpec(
                name=f"login {90 + number}",
                command=(sys.executable, "-m", module, "login", str(90 + number)),
                env={**system.env, LISTENER: str(listener.fileno())},
                cwd=PROJECT,
                log=Path(system.env["CERROJO_DATA_DIR"], "logs", "extra.log"),
                pass_fds=(listener.fileno(),),
            )
            for number in range(count)
        ]
        began = time.monotonic()
        with started(*specs) as pids:
            yield listener.getsockname()[1], pids, time.monotonic() - began


@contextmanager
def worker(env: dict[str, str], partition: int, log: Path) -> Iterator[tuple[int, Iterator[str]]]:
    """The owner of a partition when it has claimed it: its pid, and what it says from then on."""
    spec = ProcessSpec(
        name=f"worker {partition}",
        command=(sys.executable, "-m", "workers.partition", str(partition)),
        env=env,
        cwd=PROJECT,
        log=log,
    )
    with _child(spec) as child:
        said = _lines(child, WORK_SECONDS)
        if "ready" not in said:
            raise BenchError(f"The worker did not become ready; {log} says why.")
        yield child.pid, said


def _lines(child: Child, seconds: float) -> Iterator[str]:
    """What it says, as it says it; ends with this time or the process."""
    due = time.monotonic() + seconds
    while (left := due - time.monotonic()) > 0:
        readable, _, _ = select.select([child.pipe], [], [], left)
        said = child.receive() if readable else []
        if said is None:
            return
        yield from said


@contextmanager
def _child(spec: ProcessSpec) -> Iterator[Child]:
    child = Child(spec)
    try:
        yield child
    finally:
        child.terminate()
        due = time.monotonic() + DRAIN_SECONDS
        while child.poll() is None:
            if time.monotonic() > due:
                child.kill()
            time.sleep(0.01)
        child.close()
