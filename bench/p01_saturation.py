"""P1: how many logins a second the whole system does, of what argon2 alone would."""

from __future__ import annotations

from bench.accounts import COUNT, REAL
from bench.bare import bare
from bench.client import Job, drive
from bench.figures import Figure, Goal, Row, share_of_limit
from bench.harness import Bench
from bench.usage import HASHES, Usage

CLIENTS = 32


def measure(bench: Bench) -> Row:
    """Everything is on the same cores: Kafka, Postgres, workers, gateway, and the clients."""
    system = bench.system()
    seconds = 1.6 * bench.size.seconds  # few a second
    wheels, alone, rates, hashes, beside = [], [], [], [], []
    notes: list[str] = []
    for pair in range(1, bench.size.pairs + 1):
        wheels.append(bare(seconds, "wheel").rate)
        alone.append(bare(seconds, "in use"))
        usage = Usage(system.family())
        job = Job(
            port=system.login_port, users=REAL, accounts=COUNT, clients=CLIENTS, seconds=seconds
        )
        outcome = drive(job, 200)
        core_ms = {part: 1000 * s / outcome.answered for part, s in usage.seconds().items()}
        rates.append(outcome.rate)
        hashes.append(core_ms.get(HASHES, float("nan")))
        beside.append(sum(core_ms.values()) - hashes[-1])
        listed = ", ".join(f"{part} {ms:.2f}" for part, ms in core_ms.items() if ms >= 0.005)
        notes = [
            f"{CLIENTS} clients; {usage.sentence(outcome.cpu)}",
            f"CPU of a login, in ms: {listed}",
        ]
        bench.say(
            f"P1 {pair} of {bench.size.pairs}: bare {wheels[-1]:.1f}/s by the wheel and "
            f"{alone[-1].rate:.1f}/s by the build in use, ours {rates[-1]:.1f}/s; "
            f"{hashes[-1]:.2f} ms for a hash, {beside[-1]:.2f} ms beside it"
        )
    what = "logins at saturation, of bare argon2.verify on every core by the"
    return Row(
        figures=[
            Figure(
                row="P1a",
                what=f"{what} stock wheel",
                unit="/s",
                ours=rates,
                limit=wheels,
                goal=share_of_limit(1.9),
            ),
            Figure(
                row="P1b",
                what=f"{what} build in use",
                unit="/s",
                ours=rates,
                limit=[each.rate for each in alone],
                goal=share_of_limit(0.8),
            ),
            Figure(
                row="P1c",
                what="CPU of a login beside its hash, at saturation",
                unit="ms",
                ours=beside,
                goal=Goal(at_most=2.3),
            ),
            Figure(
                row="P1d",
                what="CPU of a login's hash, at saturation, of a bare one by the build in use",
                unit="ms",
                ours=hashes,
                limit=[each.core_ms for each in alone],
                goal=Goal(at_most=1.1, of_the_limit=True),
            ),
        ],
        notes=notes,
    )
