"""P11: verdicts for logins that check their own passwords, beside a bare route."""

from __future__ import annotations

from bench.accounts import CHEAP, COUNT
from bench.client import Job, Outcome, drive
from bench.figures import Figure, Row
from bench.harness import Bench
from bench.hello import serving
from bench.system import SERVICE_TOKEN
from bench.usage import Usage

LOOKS_UP_SECONDS = 60.0
"""So long a login process looks up each key after its start."""


def measure(bench: Bench) -> Row:
    """Each is an attempt with a key of its own: how many a second, and how long one takes.

    The latter at half of what the system had done just before, and the bare route's at that rate.
    """
    system = bench.system()
    connections, notes = bench.size.connections, {}

    def outcome(port: int, token: str, rate: float = 0.0, warm: float = 1.0) -> Outcome:
        job = Job(
            port=port,
            users=CHEAP,
            accounts=COUNT,
            token=token,
            clients=0 if rate else connections,
            rate=rate,
            seconds=bench.size.seconds,
            warm=warm,
        )
        return drive(job, 200)

    def most(port: int, token: str, usage: Usage, whose: str) -> float:
        at_most = outcome(port, token)
        notes[whose] = f"{whose}: p50 {at_most.p50 * 1000:.0f} ms; {usage.sentence(at_most.cpu)}"
        return at_most.rate

    outcome(
        system.login_port, SERVICE_TOKEN, warm=LOOKS_UP_SECONDS if bench.size.warm_seconds else 0.0
    )
    with serving() as (bare_port, processes):
        rates, limits = bench.in_turn(
            "P11",
            lambda: most(bare_port, "", Usage(processes + system.family()), "the bare route"),
            lambda: most(system.login_port, SERVICE_TOKEN, Usage(system.family()), "verdicts"),
        )
        rate = min(rates) / 2
        ours, bare = [], []
        for time in range(1, bench.size.pairs + 1):
            bare.append(outcome(bare_port, "", rate))
            ours.append(outcome(system.login_port, SERVICE_TOKEN, rate))
            bench.say(
                f"P11 {time} of {bench.size.pairs}: at {rate:.0f}/s "
                f"p50 {1000 * ours[-1].p50:.1f} ms, p99 {1000 * ours[-1].p99:.1f} ms"
            )
    what = f"of a verdict at {rate:.0f}/s, half of that, beside a bare route"
    return Row(
        figures=[
            Figure(
                row="P11",
                what=f"verdicts for services, {connections} connections, of a bare route",
                unit="/s",
                ours=rates,
                limit=limits,
            ),
            Figure(
                row="P11",
                what=f"p50 {what}",
                unit="ms",
                ours=[1000 * each.p50 for each in ours],
                limit=[1000 * each.p50 for each in bare],
            ),
            Figure(
                row="P11",
                what=f"p99 {what}",
                unit="ms",
                ours=[1000 * each.p99 for each in ours],
                limit=[1000 * each.p99 for each in bare],
            ),
        ],
        notes=list(notes.values()),
    )
