"""P2: how many logins a second, were the hash for nothing, of what Quart does with no system."""

from __future__ import annotations

from bench.accounts import CHEAP, COUNT
from bench.client import Job, drive
from bench.figures import Figure, Row, share_of_limit
from bench.harness import Bench
from bench.hello import serving
from bench.usage import Usage


def measure(bench: Bench) -> Row:
    """Each login goes through Kafka, a worker and a commit, and all on the same cores."""
    system = bench.system()
    port_of_ours = bench.cheap().port
    connections, notes = bench.size.connections, {}

    def rate(port: int, usage: Usage, whose: str) -> float:
        job = Job(
            port=port,
            users=CHEAP,
            accounts=COUNT,
            clients=connections,
            seconds=bench.size.seconds,
        )
        outcome = drive(job, 200)
        notes[whose] = f"{whose}: p50 {outcome.p50 * 1000:.0f} ms; {usage.sentence(outcome.cpu)}"
        return outcome.rate

    with serving() as (port, processes):
        rates, limits = bench.in_turn(
            "P2",
            lambda: rate(port, Usage(processes + system.family()), "the bare route"),
            lambda: rate(port_of_ours, Usage(system.family()), "logins"),
        )
    figure = Figure(
        row="P2",
        what=f"logins with argon2's cheapest hash, {connections} connections, of a bare route",
        unit="/s",
        ours=rates,
        limit=limits,
        goal=share_of_limit(0.5),
    )
    return Row(figures=[figure], notes=list(notes.values()))
