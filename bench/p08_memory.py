"""P8: the memory of a process, and of a gateway for each block."""

from __future__ import annotations

import psutil

from bench import blocks
from bench.accounts import CHEAP, COUNT
from bench.client import Job, drive
from bench.extra import LOADS, login_processes
from bench.figures import Figure, Goal, Row
from bench.harness import Bench
from bench.system import Up

CLIENTS = 64
MB = 1_000_000


def measure(bench: Bench) -> Row:
    """Resident memory: after work, and of a gateway process with and without blocks to know."""
    system = bench.system()
    cheap = bench.cheap()
    job = Job(
        port=cheap.port,
        users=CHEAP,
        accounts=COUNT,
        clients=CLIENTS,
        seconds=bench.size.seconds,
    )
    drive(job, 200)
    gateway = max(psutil.Process(pid).memory_info().rss for pid in cheap.pids)
    worker = max(p.memory_info().rss for p in system.processes("worker partition"))
    bench.say(f"P8: gateway {gateway / MB:.0f} MB, worker {worker / MB:.0f} MB")
    none = _fresh(system)
    bench.say(f"P8: making {bench.size.blocks:,} blocks")
    blocks.insert(system.database_url, bench.size.blocks)
    each = (_fresh(system) - none) / bench.size.blocks
    bench.say(f"P8: {each:.0f} bytes a block")
    return Row(
        figures=[
            _figure("a gateway process after work, less hashes' memory", "MB", gateway / MB, 80),
            _figure("a worker process after work", "MB", worker / MB, 60),
            _figure(f"a block, of {bench.size.blocks:,} in a gateway", "bytes", each, 60),
        ],
        notes=[
            f"Resident memory, of the largest process of its kind, after {CLIENTS} clients; the "
            "gateway's hashes were the cheapest ones, of 8 KiB. "
            f"A gateway process that has just started has {none / MB:.0f} MB. Blocks are of names "
            "with 9 to 15 characters; what a block takes includes what its loading left behind"
        ],
    )


def _fresh(system: Up) -> int:
    with login_processes(system, 1, said=LOADS) as (_, [pid], _):
        return int(psutil.Process(pid).memory_info().rss)


def _figure(what: str, unit: str, value: float, at_most: float) -> Figure:
    return Figure(row="P8", what=what, unit=unit, ours=[value], goal=Goal(at_most=at_most))
