"""Whole logs by the oracle's replay, with all that the judges of a run ask about them.

Partitions may become more: then all is decided that was found by their smaller number, in every
partition, before anything that was found by the larger one.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field

from oracle.records import Logged
from oracle.replay import ACCEPTED, Account, AuditedRequest, Replay, is_misrouted, layout_of


@dataclass
class Standing:
    """A block that stood, from its beginning until it was over or lifted."""

    until_ms: int
    begun: Logged
    lifted: Logged | None = None
    """The records that began and lifted it."""


@dataclass
class OfPartition:
    """What came of the records of one partition."""

    decided: list[AuditedRequest] = field(default_factory=list)
    unreadable: list[Logged] = field(default_factory=list)


@dataclass
class Replayed:
    """What came of all logs."""

    partitions: dict[int, OfPartition] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    """Those that have something against them in the end."""
    standing: dict[str, list[Standing]] = field(default_factory=dict)
    nameless: set[tuple[int, int]] = field(default_factory=set)
    """Partition and offset of the decisions that a deletion has taken the name from."""
    _named: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    """Generation, partition and offset of the decisions whose audit rows have this name."""
    _deletions: set[tuple[str, int, int]] = field(default_factory=set)
    """The names that were deleted, with generation and partition."""

    @property
    def perhaps_nameless(self) -> set[tuple[int, int]]:
        """Partition and offset of what came late to a partition that had the account before.

        A deletion takes the name from it if it was there first, which the logs do not say.
        """
        return {
            place[1:]
            for user, generation, partition in self._deletions
            for place in self._named.get(user, [])
            if place[0] == generation and place[1] != partition
        }

    def add(self, record: Logged, decided: AuditedRequest | None) -> None:
        """The next record of a partition."""
        partition = self.partitions.setdefault(record.partition, OfPartition())
        if decided is None:
            partition.unreadable.append(record)
            return
        partition.decided.append(decided)
        if decided.change > 0:
            block = Standing(decided.until_ms, record)
            self.standing.setdefault(decided.user, []).append(block)
        elif decided.change < 0:
            self.standing[decided.user][-1].lifted = record
        if decided.kind == "deleted" and decided.decision == ACCEPTED:
            assert record.fields
            self._erase(record.fields[3], decided.generation, record.partition)
            self._deletions.add((record.fields[3], decided.generation, record.partition))
        place = (decided.generation, record.partition, record.offset)
        self._named.setdefault(decided.user, []).append(place)

    def _erase(self, user: str, generation: int, partition: int) -> None:
        """Take a name from all that was decided before."""
        left = []
        for named in self._named.pop(user, []):
            if named[0] < generation or named[1] == partition:
                self.nameless.add(named[1:])
            else:
                left.append(named)
        self._named[user] = left


def layouts_of(attempts: list[Logged]) -> list[int]:
    """The numbers of partitions that were set, the smallest first."""
    return sorted({layout_of(r) for r in attempts if r.fields and r.fields[0] == "layout"})


def replay(attempts: list[Logged]) -> Replayed:
    """All partitions, as far as each layout goes before any goes further.

    Each log is whole and was never made anew.
    """
    layouts, replayed = layouts_of(attempts), Replayed()
    said = (layout_of(record) for record in attempts if not is_misrouted(record, 0))
    first = min(filter(None, said), default=0)
    left: dict[int, deque[Logged]] = {}
    for record in sorted(attempts, key=lambda r: (r.partition, r.offset)):
        left.setdefault(record.partition, deque()).append(record)
    replays = {each: Replay(each, replayed.accounts, layouts, first) for each in left}
    for next_layout in (*layouts, sys.maxsize):
        for partition, records in left.items():
            while records and layout_of(records[0]) < next_layout:
                record = records.popleft()
                replayed.add(record, replays[partition].take(record))
    return replayed
