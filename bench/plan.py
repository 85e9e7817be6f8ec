"""`python -m bench.plan LOGINS`: the machines for so many logins a second at the peak.

It multiplies measured figures (`python -m bench.costs`) and knows no others; each assumption is an
option, and printed. A plan is as good as its figures: measure on the machines that you mean.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from bench.plan_figures import Costs, load, newest
from bench.planning import DAY, Assumptions, Plan, plan

FIGURES = [name for name, kind in Costs.__annotations__.items() if kind == "float"]


def show(made: Plan, costs: Costs, assumed: Assumptions) -> None:
    """Print it."""
    console = Console(width=100)
    table = Table(title=f"For {made.logins_per_second:,.0f} logins/s at the peak")
    for column in ("part", "cores", "share", "that is"):
        table.add_column(column, justify="right" if column in ("cores", "share") else "left")
    for need in made.needs:
        share = f"{need.cores / made.cores:.1%}"
        table.add_row(need.part, f"{need.cores:,.1f}", share, need.servers)
    table.add_row("together", f"{made.cores:,.1f}", "", f"hosts of {assumed.host_cores} cores")
    console.print(table)
    day = sum(assumed.day) / len(assumed.day)
    console.print(
        f"A day: {made.core_hours_kept_up:,.0f} core-hours if everything is up all day, "
        f"{made.core_hours_following:,.0f} if it follows the load. Assumed: a day's mean is "
        f"{day:.0%} of its peak, and at the peak everything is {assumed.busy:.0%} busy.\n"
    )
    ladder = Table("up to logins/s", "carries", "past it", title="What gives first")
    for ceiling in made.ceilings:
        ladder.add_row(f"{ceiling.logins_per_second:,.0f}", ceiling.what, ceiling.then)
    console.print(ladder)
    first = made.gives_first
    at = f"At {made.logins_per_second:,.0f} logins/s"
    if first:
        console.print(f"{at}, what machines are added to carries; {first.what}, gives first.")
    else:
        console.print(f"{at} nothing gives that machines cannot be added to.")
    console.print(
        f"Figures: {costs.machine}; at {costs.commit}. There the whole system, with its clients, "
        f"did {costs.logins_per_second / costs.cores:.1f} logins/s for each core. Kafka's and "
        "the gateway's are of the small batches of that machine; larger ones cost less."
    )


def main() -> int:
    """Read figures, plan, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__)
    parser.add_argument("logins", type=_positive, help="logins a second at the peak")
    parser.add_argument("--figures", type=Path, help="measured ones; else the newest under bench/")
    parser.add_argument("--busy", type=_positive, default=0.7, help="share of each at the peak")
    parser.add_argument("--host-cores", type=int, help="of a machine; else as measured on")
    parser.add_argument("--day", help="shares of the peak through a day, as in 0.1,0.5,1,0.5")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--capacity", type=Path, help="a capacity.json of the load test")
    for name in FIGURES:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=_positive, metavar="X", help="instead of the measured one")
    given = parser.parse_args()
    try:
        costs = _costs(given)
        knee = _knee(given.capacity) if given.capacity else None
    except BenchError as error:
        sys.exit(str(error))
    if given.busy > 1:
        parser.error(f"--busy is {given.busy:g}; it is a share, at most 1")
    assumed = Assumptions(given.busy, given.host_cores or costs.cores, _day(parser, given.day))
    made = plan(given.logins, costs, assumed)
    if given.json:
        print(json.dumps({**asdict(made), "assumed": asdict(assumed)}, indent=1))
    else:
        show(made, costs, assumed)
        if knee:
            print(
                f"By the capacity finder's knee, {knee:.1f} logins/s for each core, it would be "
                f"{made.logins_per_second / knee:,.0f} cores in all."
            )
    return 0


def _costs(given: argparse.Namespace) -> Costs:
    """Measured figures, or those given instead; BenchError where one is missing."""
    instead = {name: getattr(given, name) for name in FIGURES if getattr(given, name)}
    if given.figures is None and len(instead) == len(FIGURES):
        cores = given.host_cores or 1
        return Costs(machine="figures that were given", commit="none", cores=cores, **instead)
    return msgspec.structs.replace(load(given.figures or newest()), **instead)


def _knee(path: Path) -> float:
    """Logins a second for each core, as the capacity finder of the load test wrote it."""
    try:
        return float(json.loads(path.read_text())["logins_per_second_per_core"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BenchError(f"{path} has no knee for each core in it: {error}") from None


def _day(parser: argparse.ArgumentParser, text: str | None) -> tuple[float, ...]:
    try:
        day = tuple(float(share) for share in text.split(",")) if text else DAY
    except ValueError:
        day = (-1.0,)
    if not all(0 <= share <= 1 for share in day):
        parser.error(f"--day is {text}; it is shares of the peak from 0 to 1, as in 0.1,0.5,1")
    return day


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


if __name__ == "__main__":
    sys.exit(main())
