"""The documented policy once more, as plainly as can be.

It shares nothing with the workers. Times are append times in milliseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from oracle.records import Logged

FOREVER = 9223372036854775807
ACCEPTED, REJECTED, BLOCKED, MOVED, REPEATED, LATE = 0, 1, 2, 3, 4, 5
REACH = 20_000
"""Offsets of a generation within which a request whose id was there before is the same one."""
REACH_MS = 30_000
"""... or so long before the latest append time."""
CLEARING = ("registered", "unblock", "password", "deleted")
"""The kinds of requests that take away what stands against an account."""
NOTES = ("disabled", "enabled", "devices")
"""The kinds of those that only say what was done elsewhere."""
ASKED = (*CLEARING, "block", *NOTES)
"""The kinds of requests of an account that are no attempts: all have their fields in one order."""


class AuditedRequest(NamedTuple):
    """The audit row that should have followed from a record."""

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
    source: str | None
    user_agent: str | None
    delayed_ms: int
    device: bytes | None
    guess: bytes | None
    operator: str | None
    reason: str | None


BEFORE_ANY: dict[str, Any] = {
    "version": 0,
    "threshold": 5,
    "window_ms": 900_000,
    "block_ms": 1_800_000,
    "block_max_ms": 86_400_000,
    "final_failures": 100,
    "forget_ms": 31_536_000_000,
}
"""The policy before a partition's first one."""

_NOTHING_SAID: list[Any] = [None, None, None, None, 0]
"""Of an attempt by a sender that says no more."""

DEVICE_BYTES = 4
"""So much of a device's id is in the audit."""

MOST_DEVICES = 16
"""Of an account; with a further one, another is forgotten."""


@dataclass
class Device:
    """The failures that stand against a device of an account."""

    wrong: int = 0
    until: int | None = None
    """The end of its block, after which it is none any more."""
    guesses: list[str] = field(default_factory=list)


@dataclass
class Account:
    """The failures and the block that stand against an account."""

    wrong: list[tuple[int, str]] = field(default_factory=list)
    """When, and which password by its guess in hex; empty: not known."""
    consecutive_failures: int = 0
    blocks: int = 0
    since: int | None = None
    until: int | None = None
    last: int = 0
    by_hand: bool = False
    """Whether an operator asked for the block, which only an operator then ends before its time."""
    forget: int = 0
    """How long after ``last`` all of it counts, while no block stands; 0: for ever."""
    partition: int = -1
    offset: int = -1
    """The record that made it so."""
    devices: dict[str, Device] = field(default_factory=dict)
    """By their ids in hex, the one that was wrong last at the end."""


class Replay:
    """One partition. All partitions share ``accounts``, those that have something against them."""

    def __init__(
        self,
        partition: int,
        accounts: dict[str, Account],
        layouts: Sequence[int] = (),
        first: int = 0,
    ) -> None:
        """``layouts`` are the numbers of partitions that were set, each larger than the last.

        ``first`` is the number before them; 0 where no record says it.
        """
        self.partition = partition
        self.accounts = accounts
        self._layouts = layouts
        self._first = first
        self._layout = 0
        self._ids: dict[bytes, list[tuple[int, int, int]]] = {}
        self._forget_at = 4 * REACH
        self._latest = 0
        self.policy: dict[str, Any] = {}
        """The one in force; empty before the first."""

    def take(self, record: Logged, generation: int = 0) -> AuditedRequest | None:
        """What is to be decided about the next record; None: nothing, as it cannot be read.

        A ``generation`` of 0 follows from the layouts: the log was never made anew.
        """
        fields = record.fields
        untimely = fields is not None and _is_untimely(record)
        if fields is None or untimely or is_misrouted(record, self._layout or self._first):
            return None
        kind, id_, reply = fields[:3]
        moved = kind != "policy" and layout_of(record) < self._layout
        if layout_of(record) > self._layout:
            self._layout = layout_of(record)
        generation = generation or 1 + sum(layout <= self._layout for layout in self._layouts)
        self.see(record.ms)
        repeated = kind != "policy" and self.knows(id_, generation, record.offset)
        late = _is_late(record)
        if repeated or not (moved or late):  # else nothing came of it, and the id may come again
            self.note(id_, generation, record.offset, record.ms)
        if moved or repeated or late or kind == "layout":
            decision = REPEATED if repeated else MOVED if moved else LATE if late else ACCEPTED
            until, change = 0, 0
            user = "" if kind == "layout" else fields[3]
            right = fields[4] if kind == "attempt" else None
        elif kind == "policy":
            decision, until, change = self._policy_comes(fields[3]), 0, 0
            user, right = "", None
        else:
            user, right = fields[3], fields[4] if kind == "attempt" else None
            account = self.accounts.get(user, Account())
            now = max(record.ms, account.last)
            blocked = account.until is not None and account.until > now
            forgotten = not blocked and 0 < account.forget <= now - account.last
            if kind in ("attempt", "block") and forgotten:
                account = Account()
                self.accounts.pop(user)
            of_device = self._of_device(user, account, now, record)
            if of_device is not None:
                (decision, until), change = of_device, 0
            elif kind == "block":
                until = self._block(user, account, now, record)
                decision, change = ACCEPTED, 1
            elif kind in ("registered", "password") and blocked and _only_by_hand(account, fields):
                assert account.until is not None
                decision, until, change = BLOCKED, account.until, 0
            elif kind in NOTES:
                decision, until, change = ACCEPTED, (account.until or 0) if blocked else 0, 0
            elif kind in ("attempt", "deleted") and blocked:
                assert account.until is not None
                decision, until, change = BLOCKED, account.until, 0
            elif kind == "attempt" and not right:
                until = self._wrong(user, account, now, record)
                decision, change = REJECTED, int(until > 0)
            else:  # a right password, a registration, an operator's help: all is forgotten
                self._forget(user, account, kind, record)
                decision, until, change = ACCEPTED, 0, -1 if blocked else 0
                if kind not in ("attempt", "deleted") and not blocked:
                    decision = REJECTED  # there was no block to lift
        if kind == "deleted":
            user = ""  # which would say it for as long as the row is kept
        version = self.policy["version"] if self.policy else 0
        said: list[Any] = fields[7:12] if kind == "attempt" else []
        source, agent, device, guess, delayed_ms = [*said, *_NOTHING_SAID[len(said) :]]
        return AuditedRequest(
            *(record, id_, kind, user, right, reply),
            *(decision, until, change, version, generation),
            *(source, agent, delayed_ms, device and device[:DEVICE_BYTES], guess),
            *_ordered_by(fields),
        )

    def see(self, ms: int) -> None:
        """The next record has this append time, whatever becomes of it."""
        self._latest = max(self._latest, ms)

    def knows(self, id_: bytes, generation: int, offset: int) -> bool:
        """Whether a request with this id, at this place, which was seen, is a repetition."""
        return any(
            (its_generation == generation and offset - its_offset <= REACH)
            or ms >= self._latest - REACH_MS
            for its_generation, its_offset, ms in self._ids.get(id_, [])
        )

    def note(self, id_: bytes, generation: int, offset: int, ms: int) -> None:
        """Something came of this request; a further one with its id is a repetition."""
        self._ids.setdefault(id_, []).append((generation, offset, ms))
        if len(self._ids) > self._forget_at:
            known = {one for one in self._ids if self.knows(one, generation, offset)}
            self._ids = {one: places for one, places in self._ids.items() if one in known}
            self._forget_at = 2 * len(self._ids) + 4 * REACH

    def _forget(self, user: str, account: Account, kind: str, record: Logged) -> None:
        """Clear an account; where its password is the same still, its devices keep what they did.

        A block of theirs is over where an operator helps.
        """
        before = self.accounts.pop(user, Account())
        if kind not in ("attempt", "unblock") or not account.devices:
            return
        lifted = kind == "unblock" and any(each.until for each in account.devices.values())
        if kind == "unblock":
            for device in account.devices.values():
                device.until = None if device.until is None else 0
        changed = account.consecutive_failures > 0 or account.until is not None or lifted
        self.accounts[user] = Account(
            last=account.last,
            forget=account.forget,
            partition=self.partition if changed else before.partition,
            offset=record.offset if changed else before.offset,
            devices=account.devices,
        )

    def _of_device(
        self, user: str, account: Account, now: int, record: Logged
    ) -> tuple[int, int] | None:
        """What is decided about a device's attempt, and until when; None: as about strangers'."""
        fields, policy = record.fields or [], self.policy or BEFORE_ANY
        if fields[0] != "attempt" or len(fields) < 10 or fields[9] is None:
            return None
        if account.by_hand and account.until is not None and account.until > now:
            return None
        name = fields[9].hex()
        device = account.devices.get(name)
        if device is not None and device.until is not None:
            return (BLOCKED, device.until) if device.until > now else None
        if fields[4]:
            return ACCEPTED, 0
        before = repr(account)
        device = account.devices.pop(name, Device())
        if len(account.devices) == MOST_DEVICES:
            trusted = [key for key, each in account.devices.items() if each.until is None]
            account.devices.pop((trusted or list(account.devices))[0])
        account.devices[name] = device
        told = self._told(fields)
        same = [guess for guess in device.guesses if guess in told]
        device.guesses = [guess for guess in device.guesses if guess not in same] + told[:1]
        account.forget = policy["forget_ms"]
        self._changed_by(record, user, account, now, before if same else "")
        if same:
            return REJECTED, 0
        device.wrong += 1
        if device.wrong < policy["threshold"]:
            return REJECTED, 0
        device.until, device.guesses = now + (policy["block_ms"] or policy["window_ms"]), []
        return REJECTED, device.until

    def _changed_by(
        self, record: Logged, user: str, account: Account, now: int, before: str
    ) -> None:
        """This record made it so, unless it is what it was before: one repeated at once is."""
        account.last = now
        self.accounts[user] = account
        if repr(account) != before:
            account.partition, account.offset = self.partition, record.offset

    def _told(self, fields: list[Any]) -> list[str]:
        """By which guesses a wrong password is known, where the policy wants to know it."""
        ignores = self.policy.get("repeated_guesses") == "ignore"
        text = fields[10].hex() if ignores and len(fields) > 10 and fields[10] else ""
        parts = [text[at : at + 16] for at in range(0, len(text), 16)]
        return [part for part in parts if part.strip("0")]  # zeros stand for what is not known

    def _block(self, user: str, account: Account, now: int, record: Logged) -> int:
        """Block it by hand; the end of that."""
        length = _length_of(record.fields or [])
        until = now + length if length else FOREVER
        if account.until is not None and account.until > now:
            until = max(until, account.until)
        account.wrong, account.since, account.until, account.by_hand = [], now, until, True
        account.forget = (self.policy or BEFORE_ANY)["forget_ms"]
        self._changed_by(record, user, account, now, "")
        return until

    def _policy_comes(self, policy: dict[str, Any]) -> int:
        if self.policy and policy["version"] <= self.policy["version"]:
            return REJECTED
        self.policy = policy
        return ACCEPTED

    def _wrong(self, user: str, account: Account, now: int, record: Logged) -> int:
        """Count a wrong password; the end of the block that follows, or 0."""
        policy = self.policy or BEFORE_ANY
        told, before = self._told(record.fields or []), repr(account)
        recent = [one for one in account.wrong if one[0] > now - policy["window_ms"]]
        account.wrong = [one for one in recent if one[1] not in told]
        repeated = len(account.wrong) < len(recent)
        account.wrong.append((now, told[0] if told else ""))
        account.consecutive_failures += not repeated
        account.forget = policy["forget_ms"]
        sooner = account.consecutive_failures * policy.get("forget_each_ms", 0)
        if sooner and not account.devices:
            account.forget = min(sooner, account.forget or sooner)
        self._changed_by(record, user, account, now, before if repeated else "")
        for_good = 0 < policy["final_failures"] <= account.consecutive_failures
        if repeated or (len(account.wrong) < policy["threshold"] and not for_good):
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
        account.by_hand = False
        account.until = FOREVER if for_good or length == 0 else now + length
        return account.until


def _only_by_hand(account: Account, fields: list[Any]) -> bool:
    """Whether an operator has to end the block, and none asks for this."""
    return account.by_hand and _ordered_by(fields)[0] is None


def _length_of(fields: list[Any]) -> int:
    """For how long somebody is to be blocked by hand; 0: until an operator lifts it."""
    return int(fields[8]) if len(fields) > 8 else 0


def _ordered_by(fields: list[Any]) -> tuple[str | None, str | None]:
    """Which operator asked for it, and why."""
    place = {"policy": 4, "layout": 4, **dict.fromkeys(ASKED, 6), "deleted": 7}
    at = place.get(fields[0], len(fields))
    operator, reason = [*fields[at : at + 2], None, None][:2]
    return operator, reason


def readable(ms: int) -> str:
    """A time for people."""
    if ms == FOREVER:
        return "an operator lifts it"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "milliseconds")
    except (ValueError, OverflowError):
        return f"{ms} ms"  # somebody made it up


def _is_late(record: Logged) -> bool:
    """Whether it lets in or clears, and came after its last moment."""
    fields = record.fields or ["policy"]
    place = {"attempt": 6, **dict.fromkeys(ASKED, 5)}.get(fields[0])
    if place is None or place >= len(fields) or (fields[0] == "attempt" and not fields[4]):
        return False
    return bool(0 < fields[place] < record.ms)


def _is_untimely(record: Logged) -> bool:
    """Whether the log got a signed request too long before or after the time that it says."""
    return bool(record.stamp) and not -5_000 <= record.ms - record.stamp <= 20_000


def is_misrouted(record: Logged, used: int) -> bool:
    """Whether its account has another partition; of so many where its sender does not say."""
    fields, partitions = record.fields or ["policy"], layout_of(record) or used
    if fields[0] not in ("attempt", *ASKED) or not partitions:
        return False
    return zlib.crc32(fields[3].encode()) % partitions != record.partition


def layout_of(record: Logged) -> int:
    """How many partitions its sender reckoned with; 0 where it did not matter or say so."""
    fields = record.fields or ["policy"]
    place = {"layout": 3, "attempt": 5, **dict.fromkeys(ASKED, 4)}.get(fields[0])
    return fields[place] if place is not None and place < len(fields) else 0
