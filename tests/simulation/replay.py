"""The documented policy once more, as simply as can be: the outcome of a sequence of records.

It shares no code with `workers/`: that is its use.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from events.messages import (
    FOREVER,
    Attempt,
    AttemptsMessage,
    Block,
    Deleted,
    Note,
    OfAccount,
    PasswordChanged,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
)

Said = AttemptsMessage | None
"""The message of a record; None if it cannot be read."""

REACH = 4
"""Offsets of a generation within which a request whose id was there before is the same one; the
simulated workers are told the same, so that a short log can leave it."""

REACH_MS = 30_000
"""... or so long before the latest append time of the partition."""

DAY_MS = 86_400_000
"""States that do not count any more may be deleted so long after that."""


class Violation(AssertionError):  # noqa: N818
    """Something happened that never may."""


class Place(NamedTuple):
    """Where a record was decided."""

    partition: int
    generation: int
    offset: int


class Outcome(NamedTuple):
    """The decision that one record must get."""

    decision: str
    until_ms: int
    change: int


@dataclass
class Account:
    """The failures and the block that stand against an account."""

    wrong: list[int] = field(default_factory=list)
    guesses: dict[bytes, int] = field(default_factory=dict)
    """When each guess was counted last, where the policy wants to know it."""
    devices: dict[bytes, tuple[int, int | None]] = field(default_factory=dict)
    """How often each was wrong, and the end of its block; fewer than an account may have."""
    consecutive_failures: int = 0
    blocks: int = 0
    until: int = 0
    by_hand: bool = False
    """Whether an operator asked for the block."""
    last: int = 0
    """The latest time seen; the brokers' clock may fall behind it."""
    forget: int = 0
    """How long after that it counts; 0: for ever."""

    @property
    def clean(self) -> bool:
        """Whether nothing does."""
        return self.consecutive_failures == 0 and not self.devices and not self.by_hand

    def over(self, now: int) -> bool:
        """Whether it counts no more."""
        return 0 < self.forget <= now - self.last and self.until <= now


@dataclass
class Replay:
    """The state after the records that it was told of, in the order of their commits."""

    policies: dict[int, Policy] = field(default_factory=dict)
    layouts: dict[int, int] = field(default_factory=dict)
    """The largest number of partitions that a record of this partition was addressed by."""
    accounts: dict[str, Account] = field(default_factory=dict)
    ids: dict[tuple[int, bytes], list[tuple[Place, int]]] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)
    decided_in: int = 0
    """The largest layout in which an account's request was decided, anywhere."""

    def take(self, said: Said, at: int, place: Place) -> Outcome | None:
        """The decision that this record must get, appended at this time; None if unreadable."""
        here = place.partition
        if said is None or _misrouted(said, here):
            return None
        self.latest[here] = max(self.latest.get(here, 0), at)
        before = self.ids.setdefault((here, said.id), [])
        repeated = any(self._near(other, ms, place) for other, ms in before)
        outcome = self._outcome(said, at, here, repeated)
        if outcome.decision not in ("MOVED", "LATE"):  # nothing came of these
            before.append((place, at))
        return outcome

    def _outcome(
        self,
        said: AttemptsMessage,
        at: int,
        here: int,
        repeated: bool,
    ) -> Outcome:
        if isinstance(said, SetPolicy):
            known = self.policies.get(here)
            if known is not None and said.policy.version <= known.version:
                return Outcome("REJECTED", 0, 0)
            self.policies[here] = said.policy
            return Outcome("ACCEPTED", 0, 0)
        layout = max(self.layouts.get(here, 0), said.partitions)
        self.layouts[here] = layout
        if repeated:
            return Outcome("REPEATED", 0, 0)
        if said.partitions < layout:
            return Outcome("MOVED", 0, 0)
        if isinstance(said, SetLayout):
            return Outcome("ACCEPTED", 0, 0)
        if 0 < said.partitions < self.decided_in:
            raise Violation(f"{said} is decided after a layout of {self.decided_in} was in force")
        self.decided_in = max(self.decided_in, said.partitions)
        clears = not isinstance(said, Attempt) or said.right
        if clears and 0 < said.expires_ms < at:
            return Outcome("LATE", 0, 0)
        return self._decide(said, at, self.policies.get(here) or Policy())

    def _near(self, other: Place, ms: int, place: Place) -> bool:
        near = other.generation == place.generation and place.offset - other.offset <= REACH
        return near or self.latest[place.partition] - ms <= REACH_MS

    def _decide(self, said: OfAccount, at: int, policy: Policy) -> Outcome:
        account = self.accounts.setdefault(said.user, Account())
        now = max(at, account.last)
        stands = account.until > now
        if isinstance(said, Deleted):
            if stands:
                return Outcome("BLOCKED", account.until, 0)
            self.accounts[said.user] = Account()
            return Outcome("ACCEPTED", 0, 0)
        if isinstance(said, Block):
            if account.over(now):
                account = self.accounts[said.user] = Account()
            until = now + said.length_ms if said.length_ms else FOREVER
            account.until = max(until, account.until) if stands else until
            account.wrong, account.guesses, account.by_hand = [], {}, True
            account.last, account.forget = now, policy.forget_ms
            return Outcome("ACCEPTED", account.until, 1)
        own = isinstance(said, Registered | PasswordChanged) and said.operator is None
        if own and stands and account.by_hand:
            return Outcome("BLOCKED", account.until, 0)
        if isinstance(said, Note):
            return Outcome("ACCEPTED", account.until if stands else 0, 0)
        if not isinstance(said, Attempt):
            self.accounts[said.user] = Account()
            if isinstance(said, Unblock):
                self._keep_devices(account, said.user, lift=True)
            return Outcome("ACCEPTED", 0, -1) if stands else Outcome("REJECTED", 0, 0)
        if account.over(now):
            account = self.accounts[said.user] = Account()
        if said.device is not None and not (stands and account.by_hand):
            outcome = _of_device(account, said, now, policy)
            if outcome is not None:
                return outcome
        if stands:
            return Outcome("BLOCKED", account.until, 0)
        if said.right:
            self.accounts[said.user] = Account()
            self._keep_devices(account, said.user)
            return Outcome("ACCEPTED", 0, 0)
        return _wrong(account, now, policy, said.guess)

    def _keep_devices(self, before: Account, user: str, lift: bool = False) -> None:
        """A cleared account with the same password knows what its devices did."""
        if not before.devices:
            return
        after = self.accounts[user]
        after.last, after.forget, after.devices = before.last, before.forget, before.devices
        for device, (wrong, until) in before.devices.items():
            if lift and until is not None:
                after.devices[device] = wrong, 0


def _of_device(account: Account, said: Attempt, now: int, policy: Policy) -> Outcome | None:
    """None: nobody trusts it any more."""
    assert said.device is not None
    wrong, until = account.devices.get(said.device, (0, None))
    if until is not None:
        return Outcome("BLOCKED", until, 0) if until > now else None
    if said.right:
        return Outcome("ACCEPTED", 0, 0)
    wrong += 1
    if wrong >= policy.threshold:
        until = now + (policy.block_ms or policy.window_ms)
    account.devices[said.device] = wrong, until
    account.last, account.forget = now, policy.forget_ms
    return Outcome("REJECTED", until or 0, 0)


def _remember(account: Account, now: int, policy: Policy) -> None:
    account.last, account.forget = now, policy.forget_ms
    if policy.forget_each_ms and not account.devices:
        sooner = account.consecutive_failures * policy.forget_each_ms
        account.forget = min(sooner, account.forget or sooner)


def _wrong(account: Account, now: int, policy: Policy, guess: bytes | None) -> Outcome:
    if policy.repeated_guesses == "ignore" and guess is not None:
        before = account.guesses.get(guess)
        account.guesses[guess] = now
        if before in account.wrong and before is not None and before > now - policy.window_ms:
            account.wrong.remove(before)
            account.wrong = [then for then in account.wrong if then > now - policy.window_ms] + [
                now
            ]
            _remember(account, now, policy)
            return Outcome("REJECTED", 0, 0)
    account.consecutive_failures += 1
    account.wrong = [then for then in account.wrong if then > now - policy.window_ms] + [now]
    _remember(account, now, policy)
    final = 0 < policy.final_failures <= account.consecutive_failures
    if not final and len(account.wrong) < policy.threshold:
        return Outcome("REJECTED", 0, 0)
    if final or policy.block_ms == 0:
        account.until = FOREVER
    else:
        length = policy.block_ms
        for _ in range(account.blocks):
            length = min(length * 2, max(policy.block_ms, policy.block_max_ms))
        account.until = now + length
    account.blocks += 1
    account.wrong = []
    account.guesses = {}
    account.by_hand = False
    return Outcome("REJECTED", account.until, 1)


def _partition(user: str, partitions: int) -> int:
    return zlib.crc32(user.encode()) % partitions if partitions else 0


def _misrouted(said: AttemptsMessage, here: int) -> bool:
    """Whether its account has another partition."""
    if isinstance(said, SetPolicy | SetLayout) or not said.partitions:
        return False
    return _partition(said.user, said.partitions) != here
