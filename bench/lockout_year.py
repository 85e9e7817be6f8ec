"""`python -m bench.lockout_year`: a year of attack on a thousand owners, by the workers' policy.

Every owner wants to get in once a day and has three moments for it; one time in ten the password
is mistyped first. On three days in a hundred the owner has no cookie, as on another machine. One
owner in five changes the password once, and a program of theirs repeats the old one every minute
for two days. Where only an operator can let an owner in, that is done a day after the owner's first
try.

The attackers: somebody that shuts owners out guesses whenever no block stands; somebody patient
guesses every two hours; a thief does so with a copy of the owner's cookie of the first day. Nobody
guesses right.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from events.messages import FOREVER, Decision, Policy
from workers.decision.policy import (
    CLEAN,
    LockState,
    Ruling,
    rule_attempt,
    rule_clearing,
)

DAYS = 365
SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000
MOMENTS = 3
MISTYPED, WITHOUT_COOKIE, WITH_PROGRAM = 0.1, 0.03, 0.2
PROGRAM_DAYS = 2

PAGE = Path(__file__).parents[1] / "docs" / "policy.md"
BEGIN, END = "<!-- lockout_year -->\n", "<!-- end of lockout_year -->"


class Variant(NamedTuple):
    """What stands against the attackers."""

    name: str
    policy: Policy
    devices: bool


VARIANTS = [
    Variant("neither", Policy(version=1), devices=False),
    Variant(
        "the same wrong password counts once",
        Policy(version=1, repeated_guesses="ignore"),
        devices=False,
    ),
    Variant("devices", Policy(version=1), devices=True),
    Variant("both", Policy(version=1, repeated_guesses="ignore"), devices=True),
    Variant(
        "both, and no block that only an operator lifts",
        Policy(version=1, repeated_guesses="ignore", final_failures=0),
        devices=True,
    ),
]

ATTACKS = {
    "nobody": "nobody guesses",
    "shut out": "owners are shut out",
    "patient": "patient guesses",
    "thief": "guesses with a stolen cookie",
}


class Result(NamedTuple):
    """What came of it for one owner, or for several."""

    lost: int = 0
    """Days on which no login succeeded."""
    guesses: int = 0
    """Wrong passwords of attackers that were revealed as such."""

    def __add__(self, other: object) -> Result:
        """Of both."""
        assert isinstance(other, Result)
        return Result(self.lost + other.lost, self.guesses + other.guesses)


class Year:
    """One owner's year."""

    def __init__(self, variant: Variant, attack: str, seed: str) -> None:
        # Of its own for each: what an attacker does must not change what an owner does.
        self._dice = random.Random(seed)
        self._variant = variant
        self._attack = attack
        self._state: LockState = CLEAN
        self._device: bytes | None = None
        self._stolen: bytes | None = None
        self._got_in: set[int] = set()
        self._elsewhere: set[int] = set()
        self._asked_operator = False
        self._guesses = self._number = 0
        self._events: list[tuple[int, int, str]] = []

    def run(self) -> Result:
        """The whole of it."""
        self._plan()
        while self._events:
            now, _, what = heappop(self._events)
            if now < (DAYS + 1) * DAY_MS:
                getattr(self, f"_{what}")(now)
        wanted = range(1, DAYS + 1)
        return Result(sum(day not in self._got_in for day in wanted), self._guesses)

    def _plan(self) -> None:
        dice = self._dice
        for day in range(DAYS + 1):  # the first one is before the attack
            if dice.random() < WITHOUT_COOKIE and day:
                self._elsewhere.add(day)
            for moment in sorted(dice.randrange(DAY_MS) for _ in range(MOMENTS)):
                self._later(day * DAY_MS + moment, "owner")
        if dice.random() < WITH_PROGRAM:
            begin = dice.randrange(DAY_MS, (DAYS - PROGRAM_DAYS) * DAY_MS)
            for minute in range(PROGRAM_DAYS * 1440):
                self._later(begin + minute * 60 * SECOND_MS, "program")
        if self._attack != "nobody":
            self._later(DAY_MS, "attacker")

    def _later(self, when: int, what: str) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, what))

    def _ask(
        self, now: int, right: bool, device: bytes | None = None, guess: str | None = None
    ) -> Ruling:
        told = (guess or f"{self._number} {now}").encode().rjust(16)[-8:]
        ruling = rule_attempt(self._variant.policy, self._state, right, now, device, (told,))
        self._state = ruling.state
        return ruling

    def _owner(self, now: int) -> None:
        day = now // DAY_MS
        mistypes = self._dice.random() < MISTYPED
        if day in self._got_in:
            return
        device = None if day in self._elsewhere else self._device
        if mistypes:
            self._ask(now, False, device)
        ruling = self._ask(now + 10 * SECOND_MS, True, device)
        if ruling.decision == Decision.ACCEPTED:
            self._got_in.add(day)
            if self._variant.devices:
                self._device = self._dice.randbytes(16)
                self._stolen = self._stolen or self._device
        elif ruling.until_ms == FOREVER and not self._asked_operator:
            self._asked_operator = True
            self._later(now + DAY_MS, "operator")

    def _operator(self, now: int) -> None:
        self._asked_operator = False
        self._state = rule_clearing(self._state, now, same_password=True).state

    def _program(self, now: int) -> None:
        self._ask(now, False, guess="old")

    def _attacker(self, now: int) -> None:
        stolen = self._stolen if self._attack == "thief" else None
        ruling = self._ask(now, False, stolen)
        self._guesses += ruling.decision == Decision.REJECTED
        if self._attack != "shut out":
            self._later(now + 2 * HOUR_MS, "attacker")
        elif ruling.decision == Decision.REJECTED:
            self._later(now + SECOND_MS, "attacker")
        else:
            self._later(min(ruling.until_ms, now + 6 * HOUR_MS), "attacker")


def measure(owners: int, seed: int) -> Iterator[tuple[Variant, dict[str, Result]]]:
    """Each variant with what came of each attack, for all owners together."""
    for variant in VARIANTS:
        results = dict.fromkeys(ATTACKS, Result())
        for attack in ATTACKS:
            for n in range(owners):
                results[attack] += Year(variant, attack, f"{seed} {n}").run()
        yield variant, results


def table(owners: int, seed: int) -> str:
    """As Markdown."""
    lines = [
        f"| | {' | '.join(ATTACKS.values())} |",
        f"|---|{'---|' * len(ATTACKS)}",
    ]
    for variant, results in measure(owners, seed):
        cells = [
            f"{found.lost / owners:.1f} days"
            + (f", {found.guesses / owners:,.0f} guesses" if attack != "nobody" else "")
            for attack, found in results.items()
        ]
        lines.append(f"| {variant.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.lockout_year",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--owners", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"into docs/{PAGE.name}")
    given = parser.parse_args()
    found = table(given.owners, given.seed)
    if not given.write:
        print(found)
        return 0
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607  # the one that is in use
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    command = f"`python -m bench.lockout_year --owners {given.owners} --seed {given.seed}`"
    PAGE.write_text(
        f"{before}{BEGIN}{found}\n\nFor an owner in a year; {command} at {commit}.\n{END}{after}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
