"""The figures that must not grow in a long run: of everything that runs, at start and end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from confluent_kafka import TopicPartition
from rich.console import Console
from rich.table import Table

from events.topics import ATTEMPTS
from tests.chaos.world import PARTITIONS, World
from tests.kafka import reader

Figures = dict[str, float]


class Growth(NamedTuple):
    """The figures of a run."""

    start: Figures
    end: Figures
    minutes: float


MEMORY, THREADS, DESCRIPTORS = "MiB", "threads", "descriptors"
UNDECIDED = "attempts that are not decided"
UNDECIDED_MAX = 1_000
"""Far more than there are clients."""
TIMES, MORE = 2, 50
"""Of all but memory there may be so many times as much at the end, and so many more. A leak with
each login, or each fault of a long run, is more."""


def measure(world: World) -> Figures:
    """Memory, threads and descriptors of each sort of process, metric files, and what is unread."""
    figures: Figures = {}
    for sort, process in _processes(world):
        try:
            memory = process.memory_info().rss / 2**20
            threads, descriptors = process.num_threads(), process.num_fds()
        except psutil.Error:
            continue
        for what, number in ((MEMORY, memory), (THREADS, threads), (DESCRIPTORS, descriptors)):
            name = f"{sort}, {what}"  # of the largest one
            figures[name] = max(figures.get(name, 0), number)
    folders = list(Path(tempfile.gettempdir()).glob("cerrojo-metrics-*"))
    figures["metric directories"] = len(folders)
    figures["metric files"] = sum(1 for folder in folders for _ in folder.glob("*.db"))
    figures[UNDECIDED] = _unread(world)
    return figures


def excess(growth: Growth) -> list[str]:
    """What has grown, although it must not. Memory is for people: Java takes what it may have."""
    found = []
    for name, end in growth.end.items():
        start = growth.start.get(name)
        if name == UNDECIDED:
            most = UNDECIDED_MAX
        elif start is None or name.endswith(MEMORY):
            continue
        else:
            most = TIMES * start + MORE
        if end > most:
            found.append(f"{name}: {end:.0f} at the end, which are more than {most:.0f}")
    return found


def show(growth: Growth) -> None:
    """Print both beside each other."""
    table = Table(title=f"growth in {growth.minutes:.1f} minutes; of each sort the largest process")
    for column in ("", "start", "end"):
        table.add_column(column, justify="right" if column else "left")
    for name in sorted(growth.start.keys() | growth.end.keys()):
        table.add_row(name, *(f"{f[name]:.0f}" if name in f else "" for f in growth[:2]))
    Console(width=100).print(table)


def _processes(world: World) -> Iterator[tuple[str, psutil.Process]]:
    """Every process with its sort: its title without its number."""
    for part in world.parts:
        for pid in world.family(part):
            try:
                process = psutil.Process(pid)
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith("cerrojo: "):
                yield title.removeprefix("cerrojo: ").rstrip(" 0123456789"), process
    for server, holder in world.servers.pids.items():
        for process in psutil.Process(holder).children(recursive=True):
            yield server, process


def _unread(world: World) -> int:
    consumer = reader(world.kafka)
    try:
        with psycopg.connect(world.database.url) as connection:
            rows = connection.execute("SELECT partition, next_offset FROM partition_progress")
            decided: dict[int, int] = dict(rows.fetchall())
        return sum(
            consumer.get_watermark_offsets(TopicPartition(ATTEMPTS, number), timeout=10)[1]
            - decided.get(number, 0)
            for number in range(PARTITIONS)
        )
    finally:
        consumer.close()
