"""The search for the knee: how many logins a second the system takes within a latency limit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtest.ledger import ACCEPTED, Attempt

FIRST = 16  # clients of the first step
NEAR = 1.1  # the search ends when the best step and the worst are as near as this
TRIES = 2  # a step must fail so often to count as past the knee: machines are noisy


@dataclass(frozen=True)
class Step:
    """The measurement with one number of clients."""

    clients: int
    logins_per_second: float
    p50_ms: float
    p99_ms: float  # inf: more than one in a hundred was not let in
    not_let_in: int
    within_limit: bool

    def __str__(self) -> str:
        """The step in a line."""
        return (
            f"{self.clients} clients: {self.logins_per_second:.1f} logins/s, "
            f"p99 {self.p99_ms:.0f} ms, {self.not_let_in} not let in"
        )


def measure(clients: int, attempts: Iterable[Attempt], seconds: float, limit_ms: float) -> Step:
    """The step in which these were answered within this time."""
    answered = list(attempts)
    accepted = [a for a in answered if a.status == ACCEPTED]
    times = sorted(
        (a.answered - a.sent) * 1000 if a.status == ACCEPTED else math.inf for a in answered
    )
    p50, p99 = (times[math.ceil(p * len(times)) - 1] if times else math.inf for p in (0.5, 0.99))
    rate = len(accepted) / seconds
    return Step(clients, rate, p50, p99, len(answered) - len(accepted), p99 <= limit_ms)


class Search:
    """Doubles the clients until they are too many, then halves the distance to too many."""

    def __init__(self, most: int, first: int = FIRST) -> None:
        self.clients = min(first, most)
        self.done = False
        self._most = most
        self._good = 0
        self._bad: int | None = None
        self._tries = 0

    @property
    def found(self) -> bool:
        """Whether it ended at a number that is too many, so that the best one is the knee."""
        return self.done and self._bad is not None

    def report(self, within_limit: bool) -> None:
        """Say how the step with ``clients`` went; changes ``clients``, or says ``done``."""
        self._tries += 1
        if within_limit:
            self._good = self.clients
        elif self._tries < TRIES:
            return
        else:
            self._bad = self.clients
        self._tries = 0
        if self._bad is None:
            self.done = self._good == self._most
            self.clients = min(2 * self._good, self._most)
        else:
            self.done = self._bad <= NEAR * self._good + 1
            self.clients = (self._good + self._bad) // 2


@dataclass
class Findings:
    """The result of the search; ``cores`` are those of the system, if their number is known."""

    limit_ms: float
    cores: int | None
    steps: list[Step] = field(default_factory=list)
    found: bool = False
    """Whether the search went past the knee, and came near it."""

    @property
    def best(self) -> Step | None:
        """The step with the most logins a second within the limit: the knee, where it was found."""
        within = [step for step in self.steps if step.within_limit]
        return max(within, key=lambda step: step.logins_per_second, default=None)

    def __str__(self) -> str:
        """The knee in a sentence, or the way out where it was not found."""
        best = self.best
        if best is None:
            return f"Not even {self.steps[0].clients if self.steps else 0} clients were within it."
        each = f", {best.logins_per_second / self.cores:.1f} for each core" if self.cores else ""
        figures = (
            f"{best.logins_per_second:.1f} logins/s{each}, with p99 at "
            f"{best.p99_ms:.0f} ms, within the limit of {self.limit_ms:g} ms."
        )
        if self.found:
            return f"The knee: {figures}"
        return f"At least {figures} The search ended before the knee: set USERS or TIME higher."

    def as_json(self) -> dict[str, Any]:
        """The same for machines; a p99 that is not finite is null."""
        rate = self.best.logins_per_second if self.best else None
        return {
            "limit_ms": self.limit_ms,
            "cores": self.cores,
            "found": self.found,
            "logins_per_second": rate,
            "logins_per_second_per_core": rate / self.cores if rate and self.cores else None,
            "steps": [
                {k: None if v == math.inf else v for k, v in asdict(step).items()}
                for step in self.steps
            ],
        }


def cores_of_system() -> int | None:
    """CORES, or this machine's where the system runs on it too; None where nobody says."""
    if said := os.environ.get("CORES"):
        return int(said)
    return None if os.environ.get("LOGIN_URL") else len(os.sched_getaffinity(0))
