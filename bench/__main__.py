"""`python -m bench`: how fast Cerrojo is, each row beside its limit, in one run.

It starts its own systems; `make up` need not run. Figures are of an otherwise quiet machine, or of
nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from typing import Protocol, cast

from bench.errors import BenchError
from bench.figures import Row
from bench.harness import SIZES, Bench
from bench.machine import describe
from bench.report import Run, show, write
from bench.system import PROJECT

# In this order: those that share a system first.
ROWS = {
    "P1": "p01_saturation",
    "P2": "p02_without_the_hash",
    "P3": "p03_latency",
    "P4": "p04_blocked_is_listed",
    "P6": "p06_storm",
    "P8": "p08_memory",
    "P9": "p09_start",
    "P5": "p05_backlog",
    "P7": "p07_full_database",
    "P10": "p10_scale",
}


class Measuring(Protocol):
    """A row's module."""

    def measure(self, bench: Bench) -> Row: ...


def main() -> int:
    """Measure, print, write; 1 where a goal is missed or a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="as in P1,P5; all, if not given")
    parser.add_argument("--size", choices=SIZES, default="usual", help="how much of everything")
    arguments = parser.parse_args()
    wanted = {name.strip().upper() for name in arguments.rows.split(",")}
    if unknown := wanted - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")

    machine, at = describe(), datetime.now(UTC)
    print(machine)
    bench = Bench(SIZES[arguments.size])
    rows: dict[str, Row] = {}
    failed: list[str] = []
    try:
        for name, module in ROWS.items():
            if name in wanted:
                bench.say(f"{name}, {len(rows) + 1} of {len(wanted)} rows")
                measuring = cast(Measuring, import_module(f"bench.{module}"))
                try:
                    rows[name] = measuring.measure(bench)
                except BenchError as error:
                    bench.say(f"{name} could not be measured: {error}")
                    failed.append(name)
    finally:
        bench.alone()
    rows = dict(sorted(rows.items(), key=lambda item: int(item[0][1:])))
    show(rows)
    folder = PROJECT / "bench" / "results" / at.strftime("%Y%m%d-%H%M%S")
    run = Run(machine=machine, commit=_commit(), at=at.isoformat(timespec="seconds"), rows=rows)
    write(run, folder)
    print(f"\n{machine}\nWritten to {folder.relative_to(PROJECT)}")
    return (
        0 if all(figure.met is not False for row in rows.values() for figure in row.figures) else 1
    )


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
