"""The documented policy once more, as plainly as can be, for the oracle.

It shares nothing with the workers. Times are append times in milliseconds.

Partitions may become more: then all is decided that was found by their smaller number, in every
partition, before anything that was found by the larger one.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.acceptance.evidence import Logged

FOREVER = 9223372036854775807
ACCEPTED, REJECTED, BLOCKED, MOVED, REPEATED = 0, 1, 2, 3, 4
REACH = 20_000
"""Offsets within which a request whose id was there before counts as the same one."""


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
    generation: int


@dataclass
class Account:
    """What an account has against it."""

    wrong: list[int] = field(default_factory=list)
    in_a_row: int = 0
    blocks: int = 0
    since: int | None = None
    until: int | None = None
    last: int = 0
    partition: int = -1
    offset: int = -1
    """The record that made it so."""


@dataclass
class Standing:
    """A block that stood, from its beginning until it was over or lifted."""

    since_ms: int
    until_ms: int
    lifted: bool = False


@dataclass
class Book:
    """What all partitions know."""

    accounts: dict[str, Account] = field(default_factory=dict)
    """Those that have something against them."""
    standing: dict[str, list[Standing]] = field(default_factory=dict)


class Replay:
    """One partition, from the first record on. A log that is replayed is never made anew."""

    def __init__(self, partition: int, book: Book, layouts: list[int]) -> None:
        """``layouts`` are the numbers of partitions that were set, each larger than the last."""
        self.partition = partition
        self.book = book
        self.decided: list[Decided] = []
        self.unreadable: list[Logged] = []
        self._layouts = layouts
        self._layout = 0
        self._ids: dict[bytes, int] = {}
        self._policy: dict[str, Any] | None = None

    def take(self, record: Logged) -> None:
        """The next record."""
        fields = record.fields
        if fields is None:
            self.unreadable.append(record)
            return
        kind, id_, reply = fields[:3]
        moved = kind != "policy" and layout_of(record) < self._layout
        if layout_of(record) > self._layout:
            self._layout, self._ids = layout_of(record), {}
        repeated = kind != "policy" and record.offset - self._ids.get(id_, -REACH - 1) <= REACH
        self._ids[id_] = record.offset
        if moved or repeated or kind == "layout":
            decision = MOVED if moved else REPEATED if repeated else ACCEPTED
            until, change = 0, 0
            user = "" if kind == "layout" else fields[3]
            right = fields[4] if kind == "attempt" else None
        elif kind == "policy":
            decision, until, change = self._policy_comes(fields[3]), 0, 0
            user, right = "", None
        else:
            user, right = fields[3], fields[4] if kind == "attempt" else None
            account = self.book.accounts.get(user, Account())
            now = max(record.ms, account.last)
            blocked = account.until is not None and account.until > now
            if kind == "attempt" and blocked:
                assert account.until is not None
                decision, until, change = BLOCKED, account.until, 0
            elif kind == "attempt" and not right:
                until = self._wrong(user, account, now, record.offset)
                decision, change = REJECTED, int(until > 0)
            else:  # a right password, a registration, an operator's help: all is forgotten
                self.book.accounts.pop(user, None)
                decision, until, change = ACCEPTED, 0, -1 if blocked else 0
                if kind != "attempt" and not blocked:
                    decision = REJECTED  # there was no block to lift
                if blocked:
                    self.book.standing[user][-1].until_ms = now
                    self.book.standing[user][-1].lifted = True
        version = self._policy["version"] if self._policy else 0
        generation = 1 + sum(layout <= self._layout for layout in self._layouts)
        self.decided.append(
            Decided(
                *(record, id_, kind, user, right, reply),
                *(decision, until, change, version, generation),
            )
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
        account.last, account.partition, account.offset = now, self.partition, offset
        self.book.accounts[user] = account
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
        self.book.standing.setdefault(user, []).append(Standing(now, account.until))
        return account.until


def layout_of(record: Logged) -> int:
    """How many partitions its sender reckoned with; 0 where it did not matter or say so."""
    fields = record.fields or ["policy"]
    place = {"layout": 3, "attempt": 5, "registered": 4, "unblock": 4}.get(fields[0])
    return fields[place] if place is not None and place < len(fields) else 0


def layouts_of(attempts: list[Logged]) -> list[int]:
    """The numbers of partitions that were set, the smallest first."""
    return sorted({layout_of(r) for r in attempts if r.fields and r.fields[0] == "layout"})


def replay(attempts: list[Logged]) -> dict[int, Replay]:
    """All partitions, as far as each layout goes before any goes further."""
    layouts, book = layouts_of(attempts), Book()
    left: dict[int, deque[Logged]] = {}
    for record in sorted(attempts, key=lambda r: (r.partition, r.offset)):
        left.setdefault(record.partition, deque()).append(record)
    replays = {partition: Replay(partition, book, layouts) for partition in left}
    for next_layout in (*layouts, sys.maxsize):
        for partition, records in left.items():
            while records and layout_of(records[0]) < next_layout:
                replays[partition].take(records.popleft())
    return replays
