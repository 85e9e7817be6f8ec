"""The documented policy once more, as simply as can be: what a sequence of records must lead to.

Shares no code with `workers/`: that is its use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from events.messages import FOREVER, Attempt, Policy, Registered, SetPolicy, Unblock

Said = Attempt | Registered | Unblock | SetPolicy | None
"""What a record says; None if it cannot be read."""


class Outcome(NamedTuple):
    """What must be decided on one record."""

    decision: str
    until_ms: int
    change: int


@dataclass
class Account:
    """What stands against an account."""

    wrong: list[int] = field(default_factory=list)
    in_a_row: int = 0
    blocks: int = 0
    until: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing does."""
        return self.in_a_row == 0


@dataclass
class Replay:
    """The state after the records that it was told of; times must not fall."""

    policy: Policy | None = None
    accounts: dict[str, Account] = field(default_factory=dict)
    ids: set[bytes] = field(default_factory=set)

    def take(self, said: Said, at: int) -> Outcome | None:
        """What must be decided on this record, appended at this time; None if unreadable."""
        if said is None:
            return None
        if isinstance(said, SetPolicy):
            if self.policy is not None and said.policy.version <= self.policy.version:
                return Outcome("REJECTED", 0, 0)
            self.policy = said.policy
            return Outcome("ACCEPTED", 0, 0)
        if said.id in self.ids:
            return Outcome("REPEATED", 0, 0)
        self.ids.add(said.id)
        account = self.accounts.setdefault(said.user, Account())
        stands = account.until > at
        if isinstance(said, Unblock | Registered):
            self.accounts[said.user] = Account()
            return Outcome("ACCEPTED", 0, -1) if stands else Outcome("REJECTED", 0, 0)
        if stands:
            return Outcome("BLOCKED", account.until, 0)
        if said.right:
            self.accounts[said.user] = Account()
            return Outcome("ACCEPTED", 0, 0)
        return self._wrong(account, at)

    def _wrong(self, account: Account, at: int) -> Outcome:
        policy = self.policy or Policy()
        account.in_a_row += 1
        account.wrong = [then for then in account.wrong if then > at - policy.window_ms] + [at]
        final = 0 < policy.final_failures <= account.in_a_row
        if not final and len(account.wrong) < policy.threshold:
            return Outcome("REJECTED", 0, 0)
        if final or policy.block_ms == 0:
            account.until = FOREVER
        else:
            length = policy.block_ms
            for _ in range(account.blocks):
                length = min(length * 2, max(policy.block_ms, policy.block_max_ms))
            account.until = at + length
        account.blocks += 1
        account.wrong = []
        return Outcome("REJECTED", account.until, 1)

    def against(self) -> dict[str, tuple[tuple[int, ...], int, int, int]]:
        """All that stands against anybody: wrong ones that count, in a row, blocks, end."""
        return {
            user: (tuple(a.wrong), a.in_a_row, a.blocks, a.until)
            for user, a in self.accounts.items()
            if not a.clean
        }


def replay(records: Iterable[tuple[Said, int]]) -> tuple[Replay, list[Outcome | None]]:
    """The state after these records, and what must be decided on each."""
    state = Replay()
    return state, [state.take(said, at) for said, at in records]
