"""`python -m bench.overload`: what becomes of logins when ten times too many come, and of
others when one account is flooded. About 40 seconds, and the start of a system.

CPU is shared with the client, so the peak is what a machine can do that has its clients on it.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator

import uvloop
from rich.console import Console
from rich.table import Table

from bench.load import Load, Samples, post
from bench.machine import describe
from bench.system import HOST, Up, up
from settings import Settings

ACCOUNTS = 200
PASSWORD = "the right password"  # noqa: S105  # nobody's
TIMES = 10
PEAK_CLIENTS = 32
OTHERS_RATE = 10.0  # logins a second of those who are not flooded
WARM, PEAK, QUIET, FLOOD, OVERLOAD = 1.0, 6.0, 6.0, 6.0, 10.0  # seconds

ACCEPTED, REFUSED = 200, 503


def main() -> int:
    """Measure, print, and say by the exit code whether every limit is kept."""
    machine = describe()
    with up({}) as system:
        limits = uvloop.run(measure(system, Table(title="Overload: logins by phase")))
    print(machine)
    for kept, sentence in limits:
        print(f"{'holds' if kept else 'FAILS'}: {sentence}")
    return 0 if all(kept for kept, _ in limits) else 1


async def measure(system: Up, table: Table) -> list[tuple[bool, str]]:
    """Go through the phases and print them; each limit, and whether it is kept."""
    deadline = Settings().deadline_seconds
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    load = Load(HOST, system.login_port)
    made = await load.each([post("/register", name, PASSWORD) for name in [*names, "flooded"]])
    assert made.statuses() == {201: ACCOUNTS + 1}, made.statuses()
    anybody = _in_turn(names)
    await load.closed_loop(PEAK_CLIENTS, WARM, anybody)

    for column in ("phase", "offered/s", "200/s", "503/s", "other", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "phase" else "right")

    def note(phase: str, samples: Samples, seconds: float) -> None:
        by = samples.statuses()
        rest = len(samples) - by[ACCEPTED] - by[REFUSED]
        good = samples.only(ACCEPTED)
        times = [f"{good.percentile(share) * 1000:.0f}" for share in (0.5, 0.99)]
        rates = [f"{n / seconds:.0f}" for n in (len(samples), by[ACCEPTED], by[REFUSED])]
        table.add_row(phase, *rates, str(rest), *times)

    peak_samples = await load.closed_loop(PEAK_CLIENTS, PEAK, anybody)
    note(f"peak, {PEAK_CLIENTS} clients", peak_samples, PEAK)
    peak = peak_samples.statuses()[ACCEPTED] / PEAK

    quiet = await load.open_loop(OTHERS_RATE, QUIET, anybody)
    note("others, quiet", quiet, QUIET)
    _, beside = await asyncio.gather(
        load.open_loop(TIMES * peak, FLOOD, lambda: post("/login", "flooded", PASSWORD)),
        load.open_loop(OTHERS_RATE, FLOOD, anybody),
    )
    note("others, one account flooded", beside, FLOOD)

    before = system.memory("gateway login")
    client_cpu, started = _own_cpu(), time.monotonic()
    middle = asyncio.ensure_future(_memory_after(system, OVERLOAD / 2))
    flood = await load.open_loop(TIMES * peak, OVERLOAD, anybody)
    lasted = time.monotonic() - started
    note(f"{TIMES} times the peak", flood, lasted)
    after = system.memory("gateway login")
    share = (_own_cpu() - client_cpu) / lasted
    load.close()

    Console().print(table)
    print(
        f"Gateway processes: {before / 2**20:.0f} MiB before the overload, "
        f"{await middle / 2**20:.0f} in its middle, {after / 2**20:.0f} after it. "
        f"The client took {share:.0%} of a core."
    )
    accepted, refused = flood.only(ACCEPTED), flood.only(REFUSED)
    rate = len(accepted) / lasted
    p99, quiet_p99, beside_p99 = (s.percentile(0.99) for s in (accepted, quiet, beside))
    return [
        (p99 < 2 * deadline, f"accepted under overload: p99 {p99:.2f} s < {2 * deadline:g} s"),
        (rate >= 0.9 * peak, f"accepted under overload: {rate:.0f}/s >= 90% of {peak:.0f}/s"),
        (
            len(flood) == len(accepted) + len(refused) and all(s.retry_after for s in refused),
            f"the others are {len(refused)} answers 503, each with Retry-After",
        ),
        (
            max(await middle, after) < 1.25 * before + 64 * 2**20,
            "memory stays within 25% and 64 MiB of what it was",
        ),
        (
            beside_p99 <= 2 * quiet_p99,
            f"others beside a flood: p99 {beside_p99 * 1000:.0f} ms <= "
            f"twice the quiet {quiet_p99 * 1000:.0f} ms",
        ),
    ]


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
