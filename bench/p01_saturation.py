"""P1: how many logins a second the whole system does, of what argon2 alone would."""

from __future__ import annotations

from bench import bare
from bench.accounts import COUNT, REAL
from bench.client import Job, drive
from bench.figures import Figure, Row, share_of_limit
from bench.harness import Bench
from bench.usage import Usage

CLIENTS = 32


def measure(bench: Bench) -> Row:
    """Everything is on the same cores: Kafka, Postgres, workers, gateway, and the clients."""
    system = bench.system()
    seconds = 1.6 * bench.size.seconds  # few a second
    limited_by = ""

    def ours() -> float:
        nonlocal limited_by
        usage = Usage(system.family())
        job = Job(
            port=system.login_port, users=REAL, accounts=COUNT, clients=CLIENTS, seconds=seconds
        )
        outcome = drive(job, 200)
        limited_by = usage.sentence(outcome.cpu)
        return outcome.rate

    rates, limits = bench.in_turn("P1", lambda: bare.checks_per_second(seconds), ours)
    figure = Figure(
        row="P1",
        what="logins at saturation, of bare argon2.verify on every core",
        unit="/s",
        ours=rates,
        limit=limits,
        goal=share_of_limit(0.93),
    )
    return Row(figures=[figure], notes=[f"{CLIENTS} clients; {limited_by}"])
