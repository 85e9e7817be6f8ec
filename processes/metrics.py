"""Metrics of several processes on one page, by prometheus_client's files, which are named by slot.

A slot is a process's role ("login-1", "partition-3"), not its pid. A restarted process goes on with
its predecessor's counters, so no series is orphaned and files do not pile up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # importing it reads the variable below
    from prometheus_client import Counter
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

T = TypeVar("T")

_slot: list[str] = []  # the slots of this process; the last one counts

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_PREFIX = "cerrojo-metrics-"
_FORMER_LOCK = "lock"
"""A file in it, by which former versions tell the living, and may run during an update."""

_TRIES = 100  # to read the files, one of which may have just been created and be empty
_YOUNG_SECONDS = 60.0  # a younger directory may not be locked yet


@contextmanager
def directory() -> Iterator[Path]:
    """For a supervisor: a fresh directory that its children find in their environment.

    Only this user may enter it, and files of other kinds do no harm in it. Enter it before any
    metric is defined and before any child is started. It is removed at the end, or by the next
    supervisor's start if this one is killed.
    """
    _remove_orphaned_directories()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as path,
        _opened(Path(path)) as descriptor,
        (Path(path) / _FORMER_LOCK).open("w") as former,
    ):
        # The kernel releases them however this process ends. What cleans /tmp by age spares a
        # locked directory with all that is in it (tmpfiles.d(5)).
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        fcntl.flock(former, fcntl.LOCK_EX)
        os.environ[VARIABLE] = path
        try:
            yield Path(path)
        finally:
            del os.environ[VARIABLE]


def _remove_orphaned_directories() -> None:
    """Remove the directories that no living supervisor has locked."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        # Somebody's file or link, or another supervisor was faster.
        with contextlib.suppress(OSError), _opened(path) as descriptor:
            status = os.fstat(descriptor)
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_SECONDS:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError), (path / _FORMER_LOCK).open() as former:
                fcntl.flock(former, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Its descriptor. Raises OSError, also where it is a link or no directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def use_slot(slot: str) -> None:
    """Use this slot's files from now on. To be called before the process defines a metric.

    A second call, as by a standby that takes a worker's place, goes on with the new slot's
    counters: prometheus_client reads the name whenever it counts. Raises ValueError where the name
    cannot be part of a file's name.

    Without :func:`directory` in a parent process, as in a unit test, metrics stay in this process.
    """
    if "_" in slot or "/" in slot:
        raise ValueError(f"A slot's name is part of a file's name, so {slot!r} cannot be one")
    if VARIABLE in os.environ:
        # Its import chose the class by the variable, and may have been before that was set.
        from prometheus_client import values

        forget(slot)  # gauges show the present state and start without a value
        _slot.append(slot)
        if len(_slot) == 1:
            identify = values.MultiProcessValue(lambda: _slot[-1])  # type: ignore[no-untyped-call]
            values.ValueClass = identify


def from_the_start(counter: Counter, series: Iterable[tuple[str, ...]]) -> Counter:
    """The counter, with all that it may count at 0, by the values of its labels.

    A series that is made by its first event has no increase, and a panel of it is empty.
    """
    for values in series:
        counter.labels(*values)
    return counter


def forget(slot: str) -> None:
    """Remove the live gauges of a slot whose process is dead. For a supervisor."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(slot)  # type: ignore[no-untyped-call]


def exposition(*own: Collector) -> tuple[bytes, str]:
    """The metrics of all slots in Prometheus' text format, and its content type.

    ``own`` are collectors of this process only, which are not in the files.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return _read(generate_latest, *own), CONTENT_TYPE_LATEST


def families() -> list[Metric]:
    """The same as objects."""
    return _read(lambda registry: list(registry.collect()))


def _read(read: Callable[[CollectorRegistry], T], *own: Collector) -> T:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = REGISTRY
    if VARIABLE in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for collector in own:
            registry.register(collector)
    for _ in range(_TRIES - 1):
        with contextlib.suppress(struct.error):
            return read(registry)
        time.sleep(0.001)
    return read(registry)
