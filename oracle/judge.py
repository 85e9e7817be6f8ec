"""Judges the rows of the audit by the policy that was in force.

Where the replay does not begin with the log, it does not know what stood against an account by
then. So it judges an account's rows from the first one on that clears it. Until then it confirms
of a block that it has seen begin that it refuses, and that it ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from oracle.records import Logged
from oracle.replay import (
    ACCEPTED,
    BLOCKED,
    FOREVER,
    LATE,
    MOVED,
    NOTES,
    REACH,
    REACH_MS,
    REJECTED,
    REPEATED,
    Account,
    Replay,
    readable,
)
from oracle.seals import Row

DECISIONS = ("accepted", "rejected", "blocked", "moved", "repeated", "late")

NEW_PASSWORD = ("registered", "password")
"""The kinds of requests that clear an account with its devices."""


class Place(NamedTuple):
    """A position on `attempts`; in this order, accounts' decisions follow each other."""

    generation: int
    partition: int
    offset: int


class _Known:
    """Of which accounts something is known: of all others it is, or is not."""

    def __init__(self, others: bool) -> None:
        self._others = others
        self._known: dict[str, bool] = {}

    def of(self, user: str) -> bool:
        return self._known.get(user, self._others)

    def set(self, user: str, known: bool) -> None:
        self._known[user] = known


class Judge:
    """Takes the rows of all partitions: one generation after the other, each in log order.

    ``whole`` says that the first ones are the first that there ever were. ``erasures`` has names
    that are being taken out of all rows before a place.
    """

    def __init__(self, whole: bool, erasures: Mapping[str, Place]) -> None:
        self.found: Counter[str] = Counter()
        """What was confirmed: judged, unjudged, blocks, unblocks, expiries."""
        self._whole = whole
        self._erasures = erasures
        self._accounts: dict[str, Account] = {}
        self._replays: dict[int, Replay] = {}
        self._begun: dict[int, tuple[Place, int]] = {}
        self._strangers, self._devices = _Known(whole), _Known(whole)
        self._until: dict[str, int] = {}
        """The ends of blocks of accounts that are not known."""
        self._latest: dict[str, int] = {}
        """The latest time at which accounts with unknown devices were not refused. By then their
        blocks may be over, and their own time may stand there when a clock goes back."""
        self._standing: dict[str, int] = {}
        """The ends of blocks, until somebody found that they are over."""

    def begin_batch(
        self, partition: int, policies: Sequence[dict[str, Any]], rows: Sequence[Row]
    ) -> str | None:
        """Before the rows of a batch; a sentence where its policy is not the one in force."""
        replay = self._replay(partition)
        came = sum(row.kind == "policy" and row.decision == ACCEPTED for row in rows)
        before = policies[0] if len(policies) > came else {}
        if replay.policy not in ({}, before):
            return f"the policy before it is {before}, and {replay.policy} is in force"
        replay.policy = before
        return None

    def take(self, place: Place, row: Row, policies: Sequence[dict[str, Any]]) -> str | None:
        """The next row, of a batch with these policies; a sentence where it differs."""
        replay = self._replay(place.partition)
        self._begun.setdefault(place.partition, (place, row.ms))
        replay.see(row.ms)
        until = self._erasures.get(row.user)
        if row.kind == "deleted" or row.lost_its_name or (until and is_before(place, row, until)):
            self.found["unjudged"] += 1
            return self._nameless(replay, place, row)
        if row.kind == "policy":
            return self._policy(replay, place, row, policies)
        if row.policy_version != replay.policy.get("version", 0):
            return f"it says policy {row.policy_version}, and {replay.policy} is in force"
        if row.decision in (MOVED, LATE):  # what they follow from is not in the audit
            self.found["unjudged"] += 1
            wrong = row.decision == LATE and row.right is False
            return "a wrong password is never late" if wrong or row.change else None
        if row.decision == REPEATED and self._may_repeat(replay, place, row):
            self.found["unjudged"] += 1
            return None
        if not replay.knows(row.id, place.generation, place.offset) and not self._is_known(row):
            self.found["unjudged"] += 1
            replay.note(row.id, place.generation, place.offset, row.ms)
            said = self._adopt(row)
        else:
            self.found["judged"] += 1
            said = self._compare(replay, place, row)
        if said is None and row.decision != REPEATED and row.kind != "layout":
            self._confirm(row)
            if row.decision != BLOCKED and not self._devices.of(row.user):
                self._latest[row.user] = max(row.ms, self._latest.get(row.user, 0))
            if row.kind in NEW_PASSWORD and row.decision != BLOCKED:
                self._devices.set(row.user, True)
        return said

    def _replay(self, partition: int) -> Replay:
        if partition not in self._replays:
            self._replays[partition] = Replay(partition, self._accounts)
        return self._replays[partition]

    def _nameless(self, replay: Replay, place: Place, row: Row) -> str | None:
        known = replay.knows(row.id, place.generation, place.offset)
        if row.decision not in (MOVED, LATE):
            replay.note(row.id, place.generation, place.offset, row.ms)
        if known and row.decision != REPEATED:
            return "its id stands before it, so it is a repetition, and it was decided"
        return None

    def _policy(
        self, replay: Replay, place: Place, row: Row, policies: Sequence[dict[str, Any]]
    ) -> str | None:
        replay.note(row.id, place.generation, place.offset, row.ms)
        if row.decision == ACCEPTED:
            policy = next((p for p in policies if p["version"] == row.policy_version), None)
            if policy is None:
                return f"policy {row.policy_version} came, and its batch has no such policy"
            if replay.policy and policy["version"] <= replay.policy["version"]:
                return f"policy {row.policy_version} came after {replay.policy['version']}"
            replay.policy = policy
        elif row.decision != REJECTED or row.policy_version != replay.policy.get("version", 0):
            return f"it says policy {row.policy_version}, and {replay.policy} is in force"
        self.found["judged"] += 1
        return None

    def _may_repeat(self, replay: Replay, place: Place, row: Row) -> bool:
        """Whether it may repeat one that the replay has not seen."""
        if self._whole or replay.knows(row.id, place.generation, place.offset):
            return False
        begun, ms = self._begun[place.partition]
        near = place.generation == begun.generation and place.offset - begun.offset <= REACH
        return near or row.ms - ms <= REACH_MS

    def _is_known(self, row: Row) -> bool:
        """Whether everything is known on which this decision depends."""
        if row.kind == "layout":
            return True
        if not self._strangers.of(row.user):
            return False
        if self._devices.of(row.user):
            return True
        if row.ms < self._latest.get(row.user, 0):
            return False  # a clock went back, and the account's time perhaps did not
        account = self._accounts.get(row.user, Account())
        # With devices it may count for longer.
        forgotten = 0 < account.forget <= max(row.ms, account.last) - account.last
        return row.device is None and not (forgotten and row.kind in ("attempt", "block"))

    def _adopt(self, row: Row) -> str | None:
        """A row of an account of which not everything is known."""
        user, until = row.user, self._until.get(row.user, 0)
        latest = self._latest.get(user, 0)
        account = self._accounts.get(user, Account())
        if row.kind in NOTES or (row.kind != "attempt" and row.decision == BLOCKED):
            return None
        if row.kind == "block":
            self._unknown(user, row.until_ms)
            return None
        if row.kind != "attempt":
            self._cleared(user, devices=row.kind in NEW_PASSWORD)
        elif row.device is not None and not self._devices.of(user):
            # Its own count decided, or that of strangers.
            against = bool(account.wrong or account.consecutive_failures or account.until)
            if row.decision == REJECTED or (row.decision == ACCEPTED and against):
                self._unknown(user, row.until_ms if row.change > 0 else account.until or until)
        elif 0 < until <= row.ms if row.decision == BLOCKED else until > max(row.ms, latest):
            return (
                f"it was {_decision(row.decision)}, and the block before it ends {readable(until)}"
            )
        elif row.decision == ACCEPTED:
            self._cleared(user, devices=False)
        else:
            self._unknown(user, row.until_ms if _blocks(row) else 0)
        return None

    def _cleared(self, user: str, devices: bool) -> None:
        """Nothing stands against it."""
        self._until.pop(user, None)
        self._accounts.pop(user, None)
        self._strangers.set(user, True)
        if devices:
            self._devices.set(user, True)

    def _unknown(self, user: str, until: int) -> None:
        self._accounts.pop(user, None)
        self._strangers.set(user, False)
        self._devices.set(user, False)
        self._until[user] = until

    def _compare(self, replay: Replay, place: Place, row: Row) -> str | None:
        fields: list[Any] = [row.kind, row.id, row.reply_partition]
        if row.kind == "layout":
            fields.append(0)
        elif row.kind == "attempt":
            fields += [row.user, row.right, 0, 0, row.source, row.user_agent]
            fields += [row.device, row.guess, row.delayed_ms]
        else:
            fields += [row.user, 0, 0, row.operator, row.reason]
        if row.kind == "block":  # the audit has its end alone
            now = max(row.ms, self._accounts.get(row.user, Account()).last)
            fields.append(0 if row.until_ms == FOREVER else max(1, row.until_ms - now))
        record = Logged(place.partition, place.offset, row.ms, fields)
        right = replay.take(record, place.generation)
        assert right is not None
        demanded = (right.decision, right.until_ms, right.change)
        said = (row.decision, row.until_ms, row.change)
        if demanded == said:
            return None
        return f"it was {_words(*said)}, and policy {replay.policy} demands {_words(*demanded)}"

    def _confirm(self, row: Row) -> None:
        """Count the blocks, and what ended them."""
        if row.change > 0:
            self.found["blocks"] += 1
            self._standing[row.user] = row.until_ms
        elif row.change < 0:
            self.found["unblocks"] += 1
            self._standing.pop(row.user, None)
        elif (
            row.device is None
            and row.decision != BLOCKED
            and self._standing.get(row.user, FOREVER) <= row.ms
        ):
            self.found["expiries"] += 1
            del self._standing[row.user]


def is_before(place: Place, row: Row, deletion: Place) -> bool:
    """Whether a deletion takes the name from this row.

    In another partition of its generation the account has only what was not decided there.
    """
    if place.generation != deletion.generation:
        return place.generation < deletion.generation
    if place.partition != deletion.partition:
        return row.decision in (MOVED, REPEATED, LATE)
    return place.offset < deletion.offset


def _blocks(row: Row) -> bool:
    """Whether its account is blocked after it."""
    return row.decision == BLOCKED or row.change > 0


def _words(decision: int, until_ms: int, change: int) -> str:
    does = {1: ", which blocks", -1: ", which unblocks"}.get(change, "")
    return f"{_decision(decision)}{does}" + (f" until {readable(until_ms)}" if until_ms else "")


def _decision(decision: int) -> str:
    return DECISIONS[decision] if decision in range(len(DECISIONS)) else f"decision {decision}"
