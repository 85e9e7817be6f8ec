"""The tools of every row: one running system for several, turns with the limit, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psutil

from bench import accounts
from bench.client import Job, drive
from bench.extra import login_processes
from bench.system import CHEAPEST, Up, up

WARM_CLIENTS = 64
MOST_WARM_SECONDS = 180.0
COMPILED = 0.05
"""Java is warm where its compilers take no larger share of a core."""


class Size(NamedTuple):
    """How much of everything."""

    pairs: int = 3
    """Turns of limit and ours."""
    seconds: float = 5.0
    """Of each measurement of a rate."""
    blocked_accounts: int = 10_000
    """P4."""
    backlog: int = 100_000
    """P5: records of each kind."""
    blocks: int = 1_000_000
    """P8 and P9."""
    accounts: int = 1_000_000
    """P7: accounts in the full database; ten times as many audit rows, a tenth as many blocks."""
    warm_seconds: float = 10.0
    """Of logins before anything counts, again and again until Kafka's Java has compiled them. 0: no
    login process is started for them."""
    connections: int = 256
    """P2, P6, P10, P11 and P13."""
    partitions: tuple[int, ...] = (1, 2, 4, 8, 16)
    """P10: how many there are, one after the other."""
    resizes: int = 2
    """P10: how often they grow like that."""
    guessed_accounts: int = 20
    """P12: those that are guessed at by 200 at once, with each hash; and those with 100 logins."""
    away_seconds: float = 6.0
    """P12: how long Postgres is away, at least."""
    env: Mapping[str, str] = MappingProxyType({})
    """The environment of all systems."""
    judged: bool = True
    """Whether a goal that is missed is a failure; a figure that is missing always is."""


SIZES = {
    # Whether each row still works, on a machine that may be busy with anything.
    "tiny": Size(
        pairs=1,
        seconds=0.5,
        blocked_accounts=40,
        backlog=2_000,
        blocks=2_000,
        accounts=1_000,
        warm_seconds=0.0,
        connections=16,
        partitions=(1, 2),
        resizes=1,
        guessed_accounts=1,
        away_seconds=1.0,
        env={
            "CERROJO_DEADLINE_SECONDS": "25",
            "CERROJO_GATEWAY_PROCESSES": "1",
        },
        judged=False,
    ),
    "small": Size(3, 2.0, 500, 20_000, 100_000, 100_000),
    "usual": Size(),
    "full": Size(5, 10.0, 10_000, 200_000, 1_000_000, 10_000_000),
}


class CheapLogins(NamedTuple):
    """Login processes with the cheapest hash."""

    port: int
    pids: list[int]


class Bench:
    """A run."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._began = time.monotonic()
        self._held = ExitStack()
        self._system: Up | None = None
        self._cheap: CheapLogins | None = None

    def say(self, sentence: str) -> None:
        """Show how far it is."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"[{minutes:2}:{seconds:02}] {sentence}", flush=True)

    def system(self) -> Up:
        """The system that several rows share, with accounts to log in to."""
        if self._system is None:
            self.say("starting a system")
            self._system = self._held.enter_context(self.up({}))
            accounts.make(self._system.database_url)
            self.say("warming it up")
            warm(self._system, self.size.warm_seconds)
        return self._system

    def cheap(self) -> CheapLogins:
        """Two more login processes of that system, with the cheapest hash.

        They are for the accounts that have one: its own would renew their hashes.
        """
        if self._cheap is None:
            processes = login_processes(self.system(), env=CHEAPEST)
            port, pids, _ = self._held.enter_context(processes)
            self._cheap = CheapLogins(port, pids)
        return self._cheap

    def up(
        self, env: Mapping[str, str], data_dir: Path | None = None
    ) -> AbstractContextManager[Up]:
        """A system with these settings and the size's; see :func:`bench.system.up`."""
        return up({**self.size.env, **env}, data_dir)

    def alone(self) -> None:
        """Stop that system: the next row has the machine for itself."""
        if self._system is not None:
            self.say("stopping the system")
        self._system = self._cheap = None
        self._held.close()

    def in_turn(
        self, row: str, limit: Callable[[], float], ours: Callable[[], float]
    ) -> tuple[list[float], list[float]]:
        """Measure both again and again: ours, and the limit's."""
        limits, all_ours = [], []
        for pair in range(1, self.size.pairs + 1):
            limits.append(limit())
            all_ours.append(ours())
            self.say(
                f"{row} {pair} of {self.size.pairs}: limit {limits[-1]:,.4g}, "
                f"ours {all_ours[-1]:,.4g}, ratio {all_ours[-1] / limits[-1]:.3f}"
            )
        return all_ours, limits


def warm(system: Up, seconds: float) -> None:
    """Let Kafka, Postgres and the workers work, by logins with the cheapest hash.

    Of login processes that make such hashes: its own would renew those of the accounts. So many
    seconds again and again, until Java's compilers have little left to do; once, where Kafka is
    another system's.
    """
    if not seconds:
        return
    names = system.of_each(psutil.Process.name)
    java = [process for process, name in names.items() if name == "java"]
    with login_processes(system, env=CHEAPEST) as (port, _, _):
        job = Job(
            port=port,
            users=accounts.CHEAP,
            accounts=accounts.COUNT,
            clients=WARM_CLIENTS,
            seconds=seconds,
        )
        until = time.monotonic() + MOST_WARM_SECONDS
        while time.monotonic() < until:
            before, began = _compilers(java), time.monotonic()
            drive(job, 200, 503)
            after, took = _compilers(java), time.monotonic() - began
            used = sum(after[thread] - before.get(thread, 0.0) for thread in after)
            if not java or used < COMPILED * took:
                return
    print(f"Java still compiles after {MOST_WARM_SECONDS:g} s: Kafka costs more than it has to.")


def _compilers(java: Sequence[psutil.Process]) -> dict[int, float]:
    """Seconds of CPU that each of Java's compilers has used, by thread."""
    found = {}
    for process in java:
        for thread in process.threads():
            with suppress(OSError):  # it has ended
                name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text()
                if "Compiler" in name:
                    found[thread.id] = thread.user_time + thread.system_time
    return found
