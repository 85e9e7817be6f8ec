"""P10: how the rate depends on the number of partitions, and of gateway processes."""

from __future__ import annotations

from itertools import pairwise

from bench import accounts
from bench.client import Job, drive
from bench.figures import Curve, Figure, Goal, Plot, Row
from bench.harness import Bench
from bench.p02_without_the_hash import CONNECTIONS
from bench.system import up
from bench.usage import Usage

PARTITIONS = (1, 2, 4, 8, 16)
USUAL_PARTITIONS, USUAL_PROCESSES = 4, 2
WARM_SECONDS = 15.0  # each has a Java that has just started
CLIFF = 0.75
"""What more partitions may leave of the rate, from one count to the next, and be no cliff."""


def measure(bench: Bench) -> Row:
    """A system for each count, with argon2's cheapest hash: it would hide everything else."""
    bench.alone()
    usages: dict[int, str] = {}
    rates = {n: _rate(bench, n, USUAL_PROCESSES, usages) for n in PARTITIONS}
    one = _rate(bench, USUAL_PARTITIONS, 1, {})
    two = rates[USUAL_PARTITIONS]
    steps = [rates[more] / rates[less] for less, more in pairwise(PARTITIONS)]
    listed = ", ".join(f"{n}: {rate:.0f}/s" for n, rate in rates.items())
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


def _rate(bench: Bench, partitions: int, processes: int, usages: dict[int, str]) -> float:
    env = {
        "CERROJO_PARTITIONS": str(partitions),
        "CERROJO_GATEWAY_PROCESSES": str(processes),
    }
    with up(env) as system:
        accounts.make(system.database_url)
        usage = Usage(system.family())
        job = Job(
            port=system.login_port,
            users=accounts.CHEAP,
            accounts=accounts.COUNT,
            clients=CONNECTIONS,
            seconds=bench.size.seconds,
            warm=WARM_SECONDS,
        )
        outcome = drive(job, 200)
        usages[partitions] = usage.sentence(outcome.cpu)
    bench.say(f"P10: {partitions} partitions, {processes} gateway processes: {outcome.rate:,.0f}/s")
    return outcome.rate
