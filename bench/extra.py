"""Processes beside a running system, until the end of a measurement."""

from __future__ import annotations

import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import psutil

from bench.errors import BenchError
from bench.system import HOST, PROJECT, Up
from gateway.launch import LOADED, Launcher, hash_sockets
from gateway.passwords.hash_protocol import Lane
from gateway.web.listener import BACKLOG
from processes import ProcessSpec
from processes.spawn import Child
from settings import Settings

READY_SECONDS = 120.0
READY = "ready"
LOADS = f"say {LOADED} "
"""What a gateway process says once it knows who is blocked. It is ready soon in any case."""
DRAIN_SECONDS = 10.0


@contextmanager
def started(*specs: ProcessSpec, said: str = READY) -> Iterator[list[int]]:
    """Start these, and give their pids when all have said this."""
    with ExitStack() as stack:
        children = [stack.enter_context(_child(spec)) for spec in specs]
        for child, spec in zip(children, specs, strict=True):
            if said not in _lines(child, READY_SECONDS):
                raise BenchError(f"{spec.name} did not say {said!r} within {READY_SECONDS:g} s.")
        yield [child.pid for child in children]


@contextmanager
def login_processes(
    system: Up,
    count: int = 2,
    module: str = "gateway.process",
    env: Mapping[str, str] = MappingProxyType({}),
    said: str = READY,
) -> Iterator[tuple[int, list[int], float]]:
    """Further login processes of this system: their port, their pids, and how long they took.

    `env` is what they are to have else than the system. They are there when they have `said` this.
    """
    deadline_seconds = Settings().deadline_seconds
    with (
        socket.create_server((HOST, 0), backlog=BACKLOG) as listener,
        tempfile.TemporaryDirectory(prefix="bench") as directory,
        hash_sockets(Path(directory)) as sockets,
    ):
        listener.setblocking(False)
        launcher = Launcher({"login": listener}, sockets, deadline_seconds)

        def of_the_system(spec: ProcessSpec) -> ProcessSpec:
            return replace(
                spec,
                env={**system.env, **env, **spec.env},
                cwd=PROJECT,
                log=Path(system.env["CERROJO_DATA_DIR"], "logs", "extra.log"),
            )

        hashing = [of_the_system(launcher.hash_spec(lane)) for lane in Lane]
        logins = [
            of_the_system(launcher.spec(f"login {90 + number}", module)) for number in range(count)
        ]
        with started(*hashing) as hash_pids:
            began = time.monotonic()
            with started(*logins, said=said) as pids:
                took = time.monotonic() - began
                further = [psutil.Process(pid) for pid in (*hash_pids, *pids)]
                system.further.extend(further)
                yield listener.getsockname()[1], pids, took
                for process in further:
                    system.further.remove(process)


def worker(env: dict[str, str], partition: int, log: Path) -> ProcessSpec:
    """The owner of a partition, which is ready when it has claimed it."""
    return ProcessSpec(
        name=f"worker {partition}",
        command=(sys.executable, "-m", "workers.partition", str(partition)),
        env=env,
        cwd=PROJECT,
        log=log,
    )


def _lines(child: Child, seconds: float) -> Iterator[str]:
    """The lines of its output, as they come; ends with this time or the process."""
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
