"""What all gateways have told of sources: a fold over `sources`, the same in each process.

No clock and no I/O in here. One thread reads records into it; what others ask is a count, or takes
a lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from events.messages import Outcome
from gateway.limits.rule import severity, severity_of_source
from gateway.limits.space_saving import Heavy, SpaceSaving, heaviest

WINDOW_MS = 900_000
"""So long an outcome counts, by the log's time: as the wrong passwords of an account by default."""

MOST_REMEMBERED = 50_000
"""Outcomes of each kind. With more within the window the oldest are forgotten, and less stands
against their sources."""

SKETCH = 1_000
"""Sources, and accounts, whose refusals are counted."""


class Attacks(NamedTuple):
    """What was refused lately, and how many accounts failed."""

    since_ms: int
    """From where on refusals were counted; 0: nothing was told yet."""
    attack: bool
    failed: int
    """Accounts whose last login from a source was wrong, in each source."""
    succeeded: int
    sources: list[Heavy]
    accounts: list[Heavy]


class _Recent:
    """Pairs of a source and a thing, as an account, of the last window; and how many by source."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pairs: OrderedDict[tuple[str, object], int] = OrderedDict()  # the append time
        self.counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, pair: object) -> bool:
        return pair in self._pairs

    def add(self, pair: tuple[str, object], appended_ms: int) -> None:
        if pair in self._pairs:
            self._pairs.move_to_end(pair)
        else:
            if len(self._pairs) >= self._most:
                self._uncount(self._pairs.popitem(last=False)[0])
            self.counts[pair[0]] = self.counts.get(pair[0], 0) + 1
        self._pairs[pair] = appended_ms

    def discard(self, pair: tuple[str, object]) -> None:
        if self._pairs.pop(pair, None) is not None:
            self._uncount(pair)

    def forget(self, before_ms: int) -> None:
        while self._pairs:
            pair, appended_ms = next(iter(self._pairs.items()))
            if appended_ms >= before_ms:
                return
            self.discard(pair)

    def _uncount(self, pair: tuple[str, object]) -> None:
        left = self.counts[pair[0]] - 1
        if left:
            self.counts[pair[0]] = left
        else:
            del self.counts[pair[0]]


class SourceView:
    """Counts by source, and by all of them, of what was told within the window."""

    def __init__(self, failures: int, attack_failures: int, most: int = MOST_REMEMBERED) -> None:
        """`failures` accounts may fail at a source, `attack_failures` at all; 0: any number."""
        self._allowance = failures
        self._attack_allowance = attack_failures
        self._most = most
        self._lock = threading.Lock()
        self.live = False
        """Whether it has all that was told. Else nothing stands against anybody."""
        self.clear()

    def clear(self) -> None:
        """Forget everything, to read it anew."""
        with self._lock:
            self._failed = _Recent(self._most)
            self._succeeded = _Recent(self._most)
            self._registered = _Recent(self._most)
            self._registrations = 0
            self._since_ms = 0
            self._refusals = [_Refusals(0)]

    def read(self, outcomes: Collection[Outcome], appended_ms: int) -> None:
        """Take in a record that was appended then."""
        with self._lock:
            for outcome in outcomes:
                self._take(outcome, appended_ms)

    def forget(self, now_ms: int) -> None:
        """Forget what is older than the window at this time of the log."""
        with self._lock:
            for recent in (self._failed, self._succeeded, self._registered):
                recent.forget(now_ms - WINDOW_MS)
            newest = self._refusals[-1]
            if newest.since_ms and now_ms - newest.since_ms >= WINDOW_MS:
                self._refusals = [newest, _Refusals(now_ms)]

    def severity(self, source: str, unread: int = 0) -> float:
        """How much stands against this source; 0 is nothing, and above 1 it is refused.

        `unread` accounts failed there that were not read yet.
        """
        if not self.live:
            return 0.0
        failed = self._failed.counts.get(source, 0) + unread
        succeeded = self._succeeded.counts.get(source, 0)
        return severity_of_source(failed, succeeded, self._allowance, self.attack)

    def stranger(self, source: str) -> bool:
        """Whether an attack lasts, and nobody got in there lately."""
        return self.attack and source not in self._succeeded.counts

    @property
    def attack(self) -> bool:
        """Whether more accounts fail at all sources together than may."""
        failed, succeeded = len(self._failed), len(self._succeeded)
        return self.live and severity(failed, succeeded, self._attack_allowance) > 0

    def registrations(self, source: str) -> int:
        """How many hashes registrations from there have cost within the window."""
        return self._registered.counts.get(source, 0) if self.live else 0

    def failures(self, source: str) -> int:
        """The accounts whose last login from there was wrong."""
        return self._failed.counts.get(source, 0)

    def failed(self, source: str, user: str) -> bool:
        """Whether the last login from there at this account was wrong."""
        return (source, user) in self._failed

    def succeeded(self, source: str, user: str) -> bool:
        """Whether this account got in there lately."""
        return (source, user) in self._succeeded

    @property
    def failed_in_all(self) -> int:
        """Accounts whose last login from a source was wrong, in each source."""
        return len(self._failed)

    @property
    def succeeded_in_all(self) -> int:
        """Accounts that got in, in each source."""
        return len(self._succeeded)

    def attacks(self, number: int) -> Attacks:
        """The sources and the accounts with the most refusals, in one window or two."""
        with self._lock:
            kept = self._refusals
            return Attacks(
                since_ms=kept[0].since_ms,
                attack=self.attack,
                failed=len(self._failed),
                succeeded=len(self._succeeded),
                sources=heaviest((refusals.sources for refusals in kept), number),
                accounts=heaviest((refusals.accounts for refusals in kept), number),
            )

    def _take(self, outcome: Outcome, appended_ms: int) -> None:
        pair = (outcome.source, outcome.user)
        if outcome.succeeded:  # after what failed, where one record has both
            self._failed.discard(pair)
            self._succeeded.add(pair, appended_ms)
        elif outcome.failed:
            self._failed.add(pair, appended_ms)
        for _ in range(outcome.registrations):
            self._registrations += 1
            self._registered.add((outcome.source, self._registrations), appended_ms)
        if refusals := outcome.failed + outcome.refused:
            newest = self._refusals[-1]
            newest.since_ms = newest.since_ms or appended_ms
            newest.sources.add(outcome.source, refusals)
            newest.accounts.add(outcome.user, refusals)


class _Refusals:
    """Those of one window."""

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.sources = SpaceSaving(SKETCH)
        self.accounts = SpaceSaving(SKETCH)
