"""`python -m bench`: how fast Cerrojo is, each row beside its limit, in one run.

It starts its own systems; `make up` need not run. Figures are of an otherwise quiet machine, or of
nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from bench.errors import BenchError
from bench.figures import Row
from bench.harness import SIZES, Bench
from bench.machine import commit, describe
from bench.plan_figures import RESULTS
from bench.report import Run, show, write

# In this order: those that share a system first.
ROWS = {
    "P1": "p01_saturation",
    "P3": "p03_latency",
    "P2": "p02_without_the_hash",
    "P11": "p11_verdicts",
    "P13": "p13_signatures",
    "P4": "p04_blocked_is_listed",
    "P6": "p06_storm",
    "P8": "p08_memory",
    "P9": "p09_start",
    "P5": "p05_backlog",
    "P7": "p07_full_database",
    "P10": "p10_scale",
    "P12": "p12_contender",
}


class Measuring(Protocol):
    """A row's module."""

    def measure(self, bench: Bench) -> Row: ...


def main() -> int:
    """Measure, print, write; 1 where a row has no figure, or a goal is missed that counts."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="as in P1,P5; all, if not given")
    parser.add_argument("--size", choices=SIZES, default="usual", help="how much of everything")
    parser.add_argument("--into", type=Path, help="the folder for the results")
    arguments = parser.parse_args()
    wanted = {name.strip().upper() for name in arguments.rows.split(",")}
    if unknown := wanted - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")

    machine, at = describe(), datetime.now(UTC)
    print(machine)
    bench = Bench(SIZES[arguments.size])
    rows: dict[str, Row] = {}
    try:
        for name, module in ROWS.items():
            if name in wanted:
                bench.say(f"{name}, {len(rows) + 1} of {len(wanted)} rows")
                row = _measure(bench, name, module)
                row.without_what_is_no_number()
                row.commit, row.machine, row.at = commit(), machine, _now()
                row.size = arguments.size
                rows[name] = row
    finally:
        bench.alone()
    rows = dict(sorted(rows.items(), key=lambda item: int(item[0][1:])))
    show(rows)
    folder = arguments.into or RESULTS / at.strftime("%Y%m%d-%H%M%S")
    write(Run(size=arguments.size, rows=rows), folder)
    print(f"\n{machine}\nWritten to {os.path.relpath(folder)}")
    if failed := [name for name, row in rows.items() if not row.measured]:
        print(f"No figure for {', '.join(failed)}")
        return 1
    missed = any(figure.met is False for row in rows.values() for figure in row.figures)
    return 1 if missed and bench.size.judged else 0


def _measure(bench: Bench, name: str, module: str) -> Row:
    """The row; without a figure where it cannot be measured, and the next one has a new system."""
    try:
        return cast(Measuring, import_module(f"bench.{module}")).measure(bench)
    except Exception as error:  # whatever it is, the other rows have their figures
        if not isinstance(error, BenchError):
            traceback.print_exc()
        bench.say(f"{name} could not be measured: {error}")
        bench.alone()
        return Row(figures=[], notes=[f"It could not be measured: {error}"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
