"""The documented policy once more, as plainly as can be, for the oracle.

It shares nothing with the workers. Times are append times in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.acceptance.evidence import Logged

FOREVER = 9223372036854775807
ACCEPTED, REJECTED, BLOCKED = 0, 1, 2


class Decided(NamedTuple):
    """What should have followed from a record."""

    record: Logged
    id: bytes
    kind: str
    user: str
    right: bool | None
    reply_partition: int
    decision: int
    until_ms: int
    change: int
    policy_version: int


@dataclass
class Account:
    """What an account has against it."""

    wrong: list[int] = field(default_factory=list)
    in_a_row: int = 0
    blocks: int = 0
    since: int | None = None
    until: int | None = None
    last: int = 0
    offset: int = -1
    """The record that made it so."""


@dataclass
class Standing:
    """A block that stood, from its beginning until it was over or lifted."""

    since_ms: int
    until_ms: int
    lifted: bool = False


class Replay:
    """One partition, from the first record on."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.accounts: dict[str, Account] = {}
        """Those that have something against them."""
        self.decided: list[Decided] = []
        self.unreadable: list[Logged] = []
        self.standing: dict[str, list[Standing]] = {}
        self._policy: dict[str, Any] | None = None

    def take(self, record: Logged) -> None:
        """The next record."""
        fields = record.fields
        if fields is None:
            self.unreadable.append(record)
            return
        kind, id_, reply = fields[:3]
        if kind == "policy":
            decision, until, change = self._policy_comes(fields[3]), 0, 0
            user, right = "", None
        else:
            user, right = fields[3], fields[4] if kind == "attempt" else None
            account = self.accounts.get(user, Account())
            now = max(record.ms, account.last)
            blocked = account.until is not None and account.until > now
            if kind == "attempt" and blocked:
                assert account.until is not None
                decision, until, change = BLOCKED, account.until, 0
            elif kind == "attempt" and not right:
                until = self._wrong(user, account, now, record.offset)
                decision, change = REJECTED, int(until > 0)
            else:  # a right password, a registration, an operator's help: all is forgotten
                self.accounts.pop(user, None)
                decision, until, change = ACCEPTED, 0, -1 if blocked else 0
                if kind != "attempt" and not blocked:
                    decision = REJECTED  # there was no block to lift
                if blocked:
                    self.standing[user][-1].until_ms = now
                    self.standing[user][-1].lifted = True
        version = self._policy["version"] if self._policy else 0
        self.decided.append(
            Decided(record, id_, kind, user, right, reply, decision, until, change, version)
        )

    def _policy_comes(self, policy: dict[str, Any]) -> int:
        if self._policy is not None and policy["version"] <= self._policy["version"]:
            return REJECTED
        self._policy = policy
        return ACCEPTED

    def _wrong(self, user: str, account: Account, now: int, offset: int) -> int:
        """Count a wrong password; the end of the block that follows, or 0."""
        policy = self._policy
        assert policy is not None, "the oracle knows no rule for what stands before any policy"
        account.wrong = [ms for ms in account.wrong if ms > now - policy["window_ms"]] + [now]
        account.in_a_row += 1
        account.last, account.offset = now, offset
        self.accounts[user] = account
        for_good = 0 < policy["final_failures"] <= account.in_a_row
        if len(account.wrong) < policy["threshold"] and not for_good:
            return 0
        length = policy["block_ms"]
        for _ in range(account.blocks):
            longer = min(2 * length, policy["block_max_ms"])
            if longer <= length:
                break
            length = longer
        account.wrong = []
        account.blocks += 1
        account.since = now
        account.until = FOREVER if for_good or length == 0 else now + length
        self.standing.setdefault(user, []).append(Standing(now, account.until))
        return account.until


def replay(attempts: list[Logged]) -> dict[int, Replay]:
    """All partitions."""
    replays: dict[int, Replay] = {}
    for record in sorted(attempts, key=lambda r: (r.partition, r.offset)):
        replays.setdefault(record.partition, Replay(record.partition)).take(record)
    return replays
