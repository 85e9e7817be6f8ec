"""What every row works with: one running system for several, turns with the limit, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from bench import accounts
from bench.client import Job, drive
from bench.system import Up, up

WARM_CLIENTS, WARM_SECONDS = 64, 16.0
"""What Kafka's Java needs until it is as fast as it is going to be."""


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


SIZES = {
    "small": Size(3, 2.0, 500, 20_000, 100_000, 100_000),
    "usual": Size(),
    "full": Size(5, 10.0, 10_000, 200_000, 1_000_000, 10_000_000),
}


class Bench:
    """A run."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._began = time.monotonic()
        self._held = ExitStack()
        self._system: Up | None = None

    def say(self, sentence: str) -> None:
        """Show how far it is."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"[{minutes:2}:{seconds:02}] {sentence}", flush=True)

    def system(self) -> Up:
        """The system that several rows share, with accounts to log in to."""
        if self._system is None:
            self.say("starting a system")
            self._system = self._held.enter_context(up({}))
            accounts.make(self._system.database_url)
            self.say("warming it up")
            warm = Job(
                port=self._system.login_port,
                users=accounts.CHEAP,
                accounts=accounts.COUNT,
                clients=WARM_CLIENTS,
                seconds=WARM_SECONDS,
            )
            drive(warm, 200, 503)
        return self._system

    def alone(self) -> None:
        """Stop that system: the next row has the machine for itself."""
        if self._system is not None:
            self.say("stopping the system")
        self._system = None
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
