"""One policy's decisions about attempts that were decided by another one. Pure, as all of this."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from events.messages import FOREVER, Decision, Policy
from workers.decision.batch import told_guesses
from workers.decision.policy import (
    CLEAN,
    LockState,
    Ruling,
    is_forgotten,
    rule_attempt,
    rule_block,
    rule_clearing,
)

DECIDED = (
    "username <> '' AND decision < 3 AND (kind IN ('attempt', 'unblock', 'block')"
    " OR kind IN ('registered', 'password') AND decision <> 2)"
)
"""The rows of the audit that matter to what a policy decides, and whose account is known. Where
only an operator could end a block, a registration or a new password cleared nothing."""

COLUMNS = (
    "username, appended_ms, right_password, device, guess, kind = 'unblock',"
    " CASE kind WHEN 'block' THEN until_ms END"
)
"""What such a row has of an :class:`Attempt`."""


class Attempt(NamedTuple):
    """An attempt, or a request that clears or blocks an account."""

    user: str
    appended_ms: int
    right: bool | None
    """None: it is no attempt."""
    device: bytes | None
    guess: bytes | None
    same_password: bool
    """Of what clears an account: its devices stay."""
    until_ms: int | None
    """The end that a block by hand had; None: it is none."""


class Figures(NamedTuple):
    """What came of the attempts."""

    blocks: int = 0
    """The policy's; those by hand are the same by every one."""
    owners_refused: int = 0
    """Right passwords behind their account's block."""
    guesses_saved: int = 0
    """Wrong passwords behind it, of which nothing was revealed."""

    def __add__(self, other: object) -> Figures:
        """Those of other accounts, too."""
        assert isinstance(other, Figures)
        return Figures(*(one + another for one, another in zip(self, other, strict=True)))


class Trial:
    """One policy's decisions about some accounts.

    What operators did to one holds by every policy: a block by hand until the end that it had, also
    where that was the end of a block that stood.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._states: dict[str, LockState] = {}
        self._figures = [0, 0, 0]

    @property
    def figures(self) -> Figures:
        """What came of all attempts so far."""
        return Figures(*self._figures)

    def take(self, attempts: Iterable[Attempt | tuple[Any, ...]]) -> None:
        """The next attempts, each account's in log order."""
        states, policy = self._states, self._policy
        ignores = policy.repeated_guesses == "ignore"
        blocks = owners_refused = guesses_saved = 0
        for user, ms, right, device, guess, same_password, until_ms in attempts:
            state = states.get(user)
            if state is None:
                if right is not False and until_ms is None:
                    continue  # of nothing comes nothing
                state = CLEAN
            if until_ms is not None:
                ruling = _blocked_until(policy, state, ms, until_ms)
            elif right is None:
                ruling = rule_clearing(state, ms, same_password=same_password)
            else:
                told = told_guesses(guess) if ignores and not right else ()
                ruling = rule_attempt(policy, state, right, ms, device, told)
                if ruling.decision is Decision.BLOCKED:
                    owners_refused += right
                    guesses_saved += not right
                blocks += ruling.change
            if ruling.state == CLEAN:
                states.pop(user, None)
            else:
                states[user] = ruling.state
        for index, more in enumerate((blocks, owners_refused, guesses_saved)):
            self._figures[index] += more

    def __len__(self) -> int:
        """The accounts against which something stands."""
        return len(self._states)

    def forget(self, ms: int) -> None:
        """Drop what is forgotten by then, which counts for nothing any more."""
        self._states = {
            user: state for user, state in self._states.items() if not is_forgotten(state, ms)
        }


def _blocked_until(policy: Policy, state: LockState, ms: int, until_ms: int) -> Ruling:
    length = 0 if until_ms == FOREVER else max(1, until_ms - max(ms, state.last_ms))
    return rule_block(policy, state, ms, length, None)
