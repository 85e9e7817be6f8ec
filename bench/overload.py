"""`python -m bench.overload`: logins when ten times too many come, and those of others when one
account is flooded. It takes about 80 seconds, and the start of a system.

CPU is shared with the client, so the peak is what a machine can do that has its clients on it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

import settings
from bench.load import Load, Samples, post
from bench.machine import describe
from bench.system import HOST, Up, up

ACCOUNTS = 20_000
PASSWORD = "the right password"  # noqa: S105  # nobody's
WRONG = "not the password"
TIMES = 10
PEAK_CLIENTS = 32
OTHERS_RATE = 10.0  # logins a second of those who are not flooded
WARM, PEAK, QUIET, FLOOD, OVERLOAD = 3.0, 6.0, 25.0, 26.0, 30.0  # seconds
FIRST = 1.0  # seconds of a flood that are shown by themselves
SHORTEST = 1.5  # seconds of a phase
CROWD = 250  # logins of one account at the same moment, right ones and wrong ones
MANY = 1000  # logins of as many accounts at the same moment

ACCEPTED, REFUSED = 200, 503


TINY = 0.12
"""The share of the seconds, accounts and crowds of a run that shows only that it still works."""


def main() -> int:
    """Measure, print, and say by the exit code whether every limit is kept.

    With ``--size tiny`` for some seconds only, and 1 where a phase has no figure.
    """
    global ACCOUNTS, CROWD, MANY, WARM, PEAK, QUIET, FLOOD, OVERLOAD
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--size", choices=["tiny", "usual"], default="usual")
    tiny = parser.parse_args().size == "tiny"
    if tiny:
        ACCOUNTS, CROWD, MANY = (int(TINY * count) for count in (ACCOUNTS, CROWD, MANY))
        WARM, PEAK, QUIET, FLOOD, OVERLOAD = (
            max(TINY * seconds, SHORTEST) for seconds in (WARM, PEAK, QUIET, FLOOD, OVERLOAD)
        )
    machine = describe()
    with up({}) as system:
        limits = uvloop.run(measure(system, Table(title="Overload: logins by phase")))
    print(machine)
    for kept, sentence in limits:
        print(f"{'holds' if kept else 'FAILS'}: {sentence}")
    if tiny:
        return 1 if any("nan" in sentence for _, sentence in limits) else 0
    return 0 if all(kept for kept, _ in limits) else 1


class Phase(NamedTuple):
    """The measurements of some seconds."""

    samples: Samples
    """All answers, also those that came later."""
    came: Samples
    """Those that came in these seconds."""
    began: float
    """On the monotonic clock."""
    seconds: float
    cpu: float
    """Seconds that the system's processes used, servers and all."""

    @property
    def accepted(self) -> Samples:
        """The logins that were let in."""
        return self.samples.only(ACCEPTED)

    @property
    def rate(self) -> float:
        """Accepted ones a second."""
        return len(self.came.only(ACCEPTED)) / self.seconds

    def row(self) -> list[str]:
        """Its cells in the table."""
        by, all_ = self.came.statuses(), self.samples.statuses()
        times = (f"{self.accepted.percentile(share) * 1000:.0f}" for share in (0.5, 0.99))
        rates = (f"{n / self.seconds:.0f}" for n in (len(self.came), by[ACCEPTED], by[REFUSED]))
        rest = len(self.samples) - all_[ACCEPTED] - all_[REFUSED]
        return [*rates, str(rest), *times, f"{self.cpu_each * 1000:.1f}"]

    def rate_after(self, seconds: float) -> float:
        """The same, without the first seconds; not a number where there are no others."""
        left = self.seconds - seconds
        late = self.came.only(ACCEPTED).within(self.began + seconds, math.inf)
        return len(late) / left if left > 0 else math.nan

    @property
    def cpu_each(self) -> float:
        """Seconds of CPU for each accepted one."""
        return self.cpu / max(1, len(self.came.only(ACCEPTED)))


async def measure(system: Up, table: Table) -> list[tuple[bool, str]]:
    """Go through the phases and print them; each limit, and whether it is kept."""
    config = settings.load()
    deadline, threshold = config.deadline_seconds, config.policy_threshold
    load = Load(HOST, system.login_port)
    await load.each([post("/register", "flooded", PASSWORD)])
    with psycopg.connect(system.database_url) as connection:  # no hash for each of so many
        made = connection.execute(
            "INSERT INTO accounts (username, password_hash) SELECT %s || n, password_hash"
            " FROM accounts, generate_series(1, %s) AS n",
            ("account-", ACCOUNTS),
        )
        assert made.rowcount == ACCOUNTS, "registering failed"
    anybody = _in_turn([f"account-{number}" for number in range(1, ACCOUNTS + 1)])
    await load.closed_loop(PEAK_CLIENTS, WARM, anybody)
    for column in ("phase", "came/s", "200/s", "503/s", "other", "p50 ms", "p99 ms", "CPU ms/200"):
        table.add_column(column, justify="left" if column == "phase" else "right")

    async def phase(name: str, work: Awaitable[Samples], seconds: float | None = None) -> Phase:
        """With `seconds`, what comes in these: the last answers come when nobody asks any more."""
        cpu, started = system.cpu(), time.monotonic()
        working = asyncio.ensure_future(work)
        await (asyncio.sleep(seconds) if seconds else working)
        cpu, ended = system.cpu() - cpu, time.monotonic()
        samples = await working
        done = Phase(samples, samples.within(started, ended), started, ended - started, cpu)
        table.add_row(name, *done.row())
        return done

    peak = await phase("peak", load.closed_loop(PEAK_CLIENTS, PEAK, anybody), PEAK)
    quiet = await phase("others, quiet", load.open_loop(OTHERS_RATE, QUIET, anybody), QUIET)
    flooding = asyncio.ensure_future(
        load.open_loop(TIMES * peak.rate, FLOOD, lambda: post("/login", "flooded", PASSWORD))
    )
    began = time.monotonic()
    beside = await phase("others, a flood", load.open_loop(OTHERS_RATE, FLOOD, anybody), FLOOD)
    first = beside.accepted.within(began, began + FIRST).percentile(1)
    await flooding

    async def crowd(name: str, requests: list[bytes]) -> Samples:
        return (await phase(name, load.each(requests, len(requests)))).samples

    guesses = await crowd(
        f"{CROWD} guesses at one", [post("/login", "guessed", "not the password")] * CROWD
    )
    right = await crowd(f"{CROWD} right ones at one", [post("/login", "flooded", PASSWORD)] * CROWD)
    many = await crowd(f"{MANY} accounts at once", [anybody() for _ in range(MANY)])

    before = system.memory("gateway login")
    client_cpu = _own_cpu()
    middle = asyncio.ensure_future(_memory_after(system, OVERLOAD / 2))
    flood = await phase(
        f"{TIMES} times the peak", load.open_loop(TIMES * peak.rate, OVERLOAD, anybody), OVERLOAD
    )
    after = system.memory("gateway login")
    share = (_own_cpu() - client_cpu) / flood.seconds
    load.close()

    Console(width=100).print(table)
    print(
        f"Gateway processes: {before / 2**20:.0f} MiB before the overload, "
        f"{await middle / 2**20:.0f} in its middle, {after / 2**20:.0f} after it. "
        f"The client took {share:.0%} of a core."
    )
    print(
        f"Others beside the flood: at most {first * 1000:.0f} ms in its first second, "
        f"a p50 of {beside.accepted.percentile(0.5) * 1000:.0f} ms."
    )
    print(
        f"After the first {deadline:g} s of the overload, {flood.rate_after(deadline):.0f}/s "
        "were let in."
    )
    refused = flood.samples.only(REFUSED)
    p99, quiet_p99, beside_p99 = (
        s.percentile(0.99) for s in (flood.accepted, quiet.accepted, beside.accepted)
    )
    early = [
        s for s in (*guesses, *right, *many) if s.status == REFUSED and s.seconds < deadline / 2
    ]
    return [
        (p99 < 2 * deadline, f"accepted under overload: p99 {p99:.2f} s < {2 * deadline:g} s"),
        (
            flood.rate >= 0.9 * peak.rate,
            f"accepted under overload: {flood.rate:.0f}/s >= 90% of {peak.rate:.0f}/s; "
            f"by CPU {peak.cpu_each / flood.cpu_each:.0%}, which others on the machine change less",
        ),
        (
            len(flood.samples) == len(flood.accepted) + len(refused)
            and all(sample.retry_after for sample in refused),
            f"the others are {len(refused)} answers 503, each with Retry-After",
        ),
        (
            max(await middle, after) < 1.25 * before + 64 * 2**20,
            "memory stays within 25% and 64 MiB of what it was",
        ),
        (
            beside_p99 <= 2 * quiet_p99
            and set(beside.samples.statuses()) | set(quiet.samples.statuses()) == {ACCEPTED},
            f"others beside a flood, from its first moment: p99 {beside_p99 * 1000:.0f} ms <= "
            f"twice the quiet {quiet_p99 * 1000:.0f} ms, and all {_counts(beside.samples)}",
        ),
        (
            set(guesses.statuses()) <= {401, 429} and guesses.statuses()[401] == threshold,
            f"{CROWD} guesses at once at one account: {_counts(guesses)}",
        ),
        (
            set(right.statuses()) == {ACCEPTED},
            f"{CROWD} right logins of one account at once: {_counts(right)}",
        ),
        (
            not early and set(many.statuses()) <= {ACCEPTED, REFUSED},
            f"{MANY} logins of as many accounts at once: {_counts(many)}; "
            f"{len(early)} refused before half of the deadline",
        ),
    ]


def _counts(samples: Samples) -> str:
    return ", ".join(f"{count} times {status}" for status, count in samples.statuses().items())


def _in_turn(names: list[str]) -> Callable[[], bytes]:
    requests: Iterator[bytes] = itertools.cycle([post("/login", n, PASSWORD) for n in names])
    return lambda: next(requests)


async def _memory_after(system: Up, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return system.memory("gateway login")


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
