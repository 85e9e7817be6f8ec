"""P10: how the rate depends on the number of partitions, and of gateway processes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from statistics import median

from bench import accounts
from bench.client import Job, drive
from bench.extra import login_processes
from bench.figures import Curve, Figure, Goal, Plot, Row
from bench.harness import Bench, warm
from bench.system import CHEAPEST, PROJECT, Up
from bench.usage import Usage

USUAL_PARTITIONS = 4
CLIFF = 0.9
"""The least share of the rate that more partitions may leave, from one count to the next."""
SECOND_PROCESS = 0.75
"""The least share that a second gateway process may leave, on cores that have enough to do."""


def measure(bench: Bench) -> Row:
    """With argon2's cheapest hash, as a usual one would hide everything else.

    The partitions of a running system become more and more, so that its Java is equally warm.
    """
    bench.alone()
    counts = bench.size.partitions
    usages: dict[int, str] = {}
    with_two: dict[int, list[float]] = {count: [] for count in counts}
    with_one: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(bench.size.resizes):
        with bench.up({"CERROJO_PARTITIONS": "1"}) as system:
            accounts.make(system.database_url)
            warm(system, bench.size.warm_seconds)
            with (
                login_processes(system, 1, env=CHEAPEST) as (port_of_one, _, _),
                login_processes(system, 2, env=CHEAPEST) as (port_of_two, _, _),
            ):
                for count in counts:
                    _resize(system, count)
                    one, _ = _rate(bench, system, port_of_one)
                    two, usages[count] = _rate(bench, system, port_of_two)
                    with_one[count].append(one)
                    with_two[count].append(two)
                    bench.say(f"P10: {count} partitions: {two:,.0f}/s, by one process {one:,.0f}/s")
    rates = {count: median(found) for count, found in with_two.items()}
    rates_of_one = {count: median(found) for count, found in with_one.items()}
    steps = [rates[more] / rates[less] for less, more in pairwise(counts)]
    listed = ", ".join(f"{n}: {rate:.0f}/s" for n, rate in rates.items())
    usual = USUAL_PARTITIONS if USUAL_PARTITIONS in counts else counts[-1]
    one, two = rates_of_one[usual], rates[usual]
    return Row(
        figures=[
            Figure(
                row="P10",
                what=f"worst step from one count of partitions to the next ({listed})",
                unit="x",
                ours=[min(steps)],
                goal=Goal(at_least=CLIFF),
            ),
            Figure(
                row="P10",
                what=f"two gateway processes against one, {usual} partitions"
                f" ({two:.0f}/s, {one:.0f}/s)",
                unit="x",
                ours=[two / one],
                goal=Goal(at_least=SECOND_PROCESS),
            ),
        ],
        notes=[f"{count} partitions: {usage}" for count, usage in usages.items()],
        plots=[
            Plot(
                name="p10_partitions",
                title="P10: logins without the hash, by partitions",
                x="partitions",
                y="logins/s",
                curves=[
                    Curve(name=name, points=[(float(n), rate) for n, rate in found.items()])
                    for name, found in (
                        ("2 gateway processes", rates),
                        ("1 gateway process", rates_of_one),
                    )
                ],
            )
        ],
    )


def _resize(system: Up, partitions: int) -> None:
    command = [sys.executable, "-m", "cerrojo", "resize", str(partitions)]
    subprocess.run(command, cwd=PROJECT, env=system.env, stdout=subprocess.DEVNULL, check=True)


def _rate(bench: Bench, system: Up, port: int) -> tuple[float, str]:
    usage = Usage(system.family())
    job = Job(
        port=port,
        users=accounts.CHEAP,
        accounts=accounts.COUNT,
        clients=bench.size.connections,
        seconds=bench.size.seconds,
    )
    outcome = drive(job, 200)
    return outcome.rate, usage.sentence(outcome.cpu)
