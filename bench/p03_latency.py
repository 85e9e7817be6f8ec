"""P3: the time of a login beside its own hash, at half of the load that the machine can take."""

from __future__ import annotations

from bench.accounts import COUNT, REAL
from bench.client import Job, drive
from bench.extra import login_processes
from bench.figures import Curve, Figure, Goal, Plot, Row
from bench.harness import Bench
from bench.load import percentile

CLIENTS = 32
SHARES = [*(share / 100 for share in range(1, 100)), 0.995]


def measure(bench: Bench) -> Row:
    """By two more login processes of the system, which say what each hash took in its thread."""
    system = bench.system()
    seconds = 3 * bench.size.seconds
    job = Job(
        port=system.login_port, users=REAL, accounts=COUNT, clients=CLIENTS, seconds=seconds / 2
    )
    rate = drive(job, 200).rate / 2
    medians, tails, all_ = [], [], []
    with login_processes(system, 2, "bench.timed_gateway") as (port, _, _):
        for time in range(1, bench.size.pairs + 1):
            job = Job(port=port, users=REAL, accounts=COUNT, rate=rate, seconds=seconds, warm=2.0)
            beside = [1000 * s for s in drive(job, 200).beside_the_hash]
            medians.append(percentile(beside, 0.5))
            tails.append(percentile(beside, 0.99))
            all_ += beside
            bench.say(
                f"P3 {time} of {bench.size.pairs}: {len(beside)} logins at {rate:.0f}/s, "
                f"p50 {medians[-1]:.1f} ms, p99 {tails[-1]:.1f} ms"
            )
    what = f"of a login less its own hash, at {rate:.0f}/s"
    curve = Curve(name="", points=[(100 * s, percentile(all_, s)) for s in SHARES])
    return Row(
        figures=[
            Figure(row="P3", what=f"p50 {what}", unit="ms", ours=medians, goal=Goal(at_most=4)),
            Figure(row="P3", what=f"p99 {what}", unit="ms", ours=tails, goal=Goal(at_most=12)),
        ],
        notes=[
            f"Logins came evenly, at half of what this system had done for {CLIENTS} clients just "
            "before. A wait for a hash thread counts, and so does what other "
            "requests' hashes take from the processors before and after this one's own"
        ],
        plots=[
            Plot(
                name="p03_latency",
                title="P3: a login less its own hash, at half of the load that can be taken",
                x="percent of the logins",
                y="ms at most",
                curves=[curve],
            )
        ],
    )
