"""Metrics of several processes on one page: prometheus_client's files, named by slot.

A slot is what a process is ("login-1", "partition-3"), not its pid. A process
that is started again goes on with the counters of the one before it, so no
series is left behind and files do not pile up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it reads the variable below
    from prometheus_client.registry import Collector

_slot: list[str] = []  # the slots of this process, the last one counts

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_PREFIX = "cerrojo-metrics-"
_LOCK = "lock"
_TRIES = 100  # to read files of which one may just have been made, with nothing in it yet
_YOUNG_SECONDS = 60.0  # a directory this new may just not be locked yet


@contextmanager
def directory() -> Iterator[Path]:
    """For a supervisor: a fresh directory that its children find in their environment.

    Enter it before any metric is defined and before any child is started. It is
    removed at the end, or at the start of the next supervisor where this one is killed.
    """
    _remove_leftovers()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as path,
        (Path(path) / _LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it however this process ends
        os.environ[VARIABLE] = path
        try:
            yield Path(path)
        finally:
            del os.environ[VARIABLE]


def _remove_leftovers() -> None:
    """Remove the directories that no living supervisor holds."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):  # another user's, or another supervisor was faster
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue  # what others put there could be made to hang whoever opens it
            if time.time() - status.st_mtime < _YOUNG_SECONDS:
                continue
            with (path / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)


def use_slot(slot: str) -> None:
    """Count as this slot from now on; for every process, before it defines a metric.

    Called again, as by a spare that takes a worker's place, it goes on with that slot's
    counters: prometheus_client looks at the name whenever it counts.

    Without :func:`directory` in a process above, as in a unit test, metrics stay
    in this process.
    """
    if "_" in slot or "/" in slot:
        raise ValueError(f"A slot's name is part of a file's name, so {slot!r} cannot be one")
    if VARIABLE in os.environ:
        # Imported here because its import reads the variable.
        from prometheus_client import values

        forget(slot)  # a gauge says what is so now, and starts at nothing
        _slot.append(slot)
        if len(_slot) == 1:
            identify = values.MultiProcessValue(lambda: _slot[-1])  # type: ignore[no-untyped-call]
            values.ValueClass = identify


def forget(slot: str) -> None:
    """For a supervisor: the process in this slot is dead, and so are its live gauges."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(slot)  # type: ignore[no-untyped-call]


def exposition(*own: Collector) -> tuple[bytes, str]:
    """The metrics of all slots in Prometheus' text format, and its content type.

    ``own`` are this process's alone, not kept in the files.
    """
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        REGISTRY,
        CollectorRegistry,
        generate_latest,
    )
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = REGISTRY
    if VARIABLE in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for collector in own:
            registry.register(collector)
    for _ in range(_TRIES - 1):
        with contextlib.suppress(struct.error):
            return generate_latest(registry), CONTENT_TYPE_LATEST
        time.sleep(0.001)
    return generate_latest(registry), CONTENT_TYPE_LATEST
