"""P10: how the rate depends on the number of partitions, and of gateway processes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from statistics import median

from bench import accounts
from bench.client import Job, drive
from bench.figures import Curve, Figure, Goal, Plot, Row
from bench.harness import Bench
from bench.p02_without_the_hash import CONNECTIONS
from bench.system import PROJECT, Up, up
from bench.usage import Usage

PARTITIONS = (1, 2, 4, 8, 16)
USUAL_PARTITIONS, USUAL_PROCESSES = 4, 2
TIMES = 2
WARM_SECONDS = 20.0
"""Each system has a Java that has just started."""
CLIFF = 0.75
"""What more partitions may leave of the rate, from one count to the next, and be no cliff."""


def measure(bench: Bench) -> Row:
    """With argon2's cheapest hash, as a usual one would hide everything else.

    The partitions of a running system become more and more, so that its Java is equally warm.
    """
    bench.alone()
    usages: dict[int, str] = {}
    measured: dict[int, list[float]] = {count: [] for count in PARTITIONS}
    for _ in range(TIMES):
        with up({"CERROJO_PARTITIONS": "1"}) as system:
            _warm(system)
            for count in PARTITIONS:
                _resize(system, count)
                rate, usages[count] = _rate(bench, system)
                measured[count].append(rate)
                bench.say(f"P10: {count} partitions: {rate:,.0f}/s")
    rates = {count: median(found) for count, found in measured.items()}
    steps = [rates[more] / rates[less] for less, more in pairwise(PARTITIONS)]
    listed = ", ".join(f"{n}: {rate:.0f}/s" for n, rate in rates.items())

    by_processes = {}
    for processes in (1, USUAL_PROCESSES):
        with up({"CERROJO_GATEWAY_PROCESSES": str(processes)}) as system:
            _warm(system)
            by_processes[processes], _ = _rate(bench, system)
        bench.say(f"P10: {processes} gateway processes: {by_processes[processes]:,.0f}/s")
    one, two = by_processes.values()
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
                what=f"two gateway processes against one ({two:.0f}/s, {one:.0f}/s)",
                unit="x",
                ours=[two / one],
                goal=Goal(at_least=CLIFF),
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
                    Curve(
                        name=f"{USUAL_PROCESSES} gateway processes",
                        points=[(float(n), rate) for n, rate in rates.items()],
                    ),
                    Curve(name="1 gateway process", points=[(float(USUAL_PARTITIONS), one)]),
                ],
            )
        ],
    )


def _warm(system: Up) -> None:
    accounts.make(system.database_url)
    drive(_job(system, WARM_SECONDS), 200, 503)


def _resize(system: Up, partitions: int) -> None:
    command = [sys.executable, "-m", "workers", "resize", str(partitions)]
    subprocess.run(command, cwd=PROJECT, env=system.env, stdout=subprocess.DEVNULL, check=True)


def _rate(bench: Bench, system: Up) -> tuple[float, str]:
    usage = Usage(system.family())
    outcome = drive(_job(system, bench.size.seconds), 200)
    return outcome.rate, usage.sentence(outcome.cpu)


def _job(system: Up, seconds: float) -> Job:
    return Job(
        port=system.login_port,
        users=accounts.CHEAP,
        accounts=accounts.COUNT,
        clients=CONNECTIONS,
        seconds=seconds,
    )
