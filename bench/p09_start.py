"""P9: how soon it is there: the whole system, and a gateway process with many blocks to load."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench import blocks
from bench.extra import LOADS, login_processes
from bench.figures import Figure, Goal, Row
from bench.harness import Bench


def measure(bench: Bench) -> Row:
    """Each several times; the first start of the system, which makes everything, does not count."""
    system = bench.system()
    blocks.insert(system.database_url, bench.size.blocks)
    gateways = []
    for number in range(1, bench.size.pairs + 1):
        with login_processes(system, 1, said=LOADS) as (_, _, seconds):
            gateways.append(seconds)
        bench.say(f"P9 {number} of {bench.size.pairs}: a gateway process after {seconds:.1f} s")
    bench.alone()

    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for number in range(bench.size.pairs + 1):
            began = time.monotonic()
            with bench.up({}, Path(folder, "data")):
                starts.append(time.monotonic() - began)
            which = f"{number} of {bench.size.pairs}" if number else "the first start, not counted"
            bench.say(f"P9 {which}: the system after {starts[-1]:.1f} s")
    first, *warm = starts
    what = f"a gateway process, until it has loaded {bench.size.blocks:,} blocks"
    return Row(
        figures=[
            Figure(row="P9", what="make up, warm", unit="s", ours=warm, goal=Goal(at_most=5)),
            Figure(row="P9", what=what, unit="s", ours=gateways, goal=Goal(at_most=3)),
        ],
        notes=[
            f"Ready: both /readyz say so. The first start took {first:.1f} s, with Kafka's and "
            "Postgres' files to make; the jars, and what Java remembers of them, were there"
        ],
    )
