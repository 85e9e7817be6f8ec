"""Deduplicates requests: one that is in the log several times counts once.

A request is a repetition where a request with its id stands before it in its partition of which
something came (:data:`workers.decision.batch.NOTHING_CAME_OF_IT` has the decisions that are none),
within
:data:`DEDUPLICATION_OFFSETS` offsets of the same generation, or with an append time of at most
:data:`DEDUPLICATION_MS` before the latest one of the partition so far. This depends on the log
alone, so every owner finds the same repetitions, whenever it claimed. The audit has the ids that an
owner did not see itself.

The time is what holds at any rate and across generations; the offsets hold when the brokers' clock
has jumped ahead and came back, so that for a while no append time is near the latest one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from workers.decision.batch import NOTHING_CAME_OF_IT, AuditRow

DEDUPLICATION_OFFSETS = 20_000

DEDUPLICATION_MS = 30_000
"""A producer or a broker repeats a record within seconds, or once it has thawed."""


class Seen(NamedTuple):
    """A decided request."""

    id: bytes
    generation: int
    offset: int
    appended_ms: int


class RecentIds:
    """The requests that a later one may repeat."""

    def __init__(self, generation: int, latest_ms: int, seen: Iterable[Seen] = ()) -> None:
        """``seen`` are the decided requests within reach, in log order."""
        self._generation = generation
        self._latest_ms = latest_ms
        self._by_id: dict[bytes, tuple[Seen, ...]] = {}
        self._by_offset: deque[Seen] = deque()
        self._by_time: deque[Seen] = deque()
        for one in seen:
            self._remember(one)

    def is_repeated(self, id_: bytes, offset: int, latest_ms: int) -> bool:
        """Whether a request with this id at this offset repeats an earlier one.

        ``latest_ms`` is the latest append time of the batch up to this record.
        """
        latest_ms = max(self._latest_ms, latest_ms)
        return any(
            self._near(one, offset) or one.appended_ms >= latest_ms - DEDUPLICATION_MS
            for one in self._by_id.get(id_, ())
        )

    def add(self, rows: Iterable[AuditRow]) -> None:
        """Add the requests of one batch, in log order."""
        offset = 0
        for row in rows:
            offset = row.offset
            self._latest_ms = max(self._latest_ms, row.appended_ms)
            if row.decision not in NOTHING_CAME_OF_IT:
                self._remember(Seen(row.id, self._generation, offset, row.appended_ms))
        while self._by_offset and not self._near(self._by_offset[0], offset):
            self._keep_by_time(self._by_offset.popleft())
        while self._by_time and not self._recent(self._by_time[0]):
            self._forget(self._by_time.popleft())

    def enter_generation(self, generation: int) -> None:
        """Go on in another generation, from whose offsets the former ones are never near."""
        self._generation = generation
        while self._by_offset:
            self._keep_by_time(self._by_offset.popleft())

    def _near(self, one: Seen, offset: int) -> bool:
        return one.generation == self._generation and one.offset >= offset - DEDUPLICATION_OFFSETS

    def _recent(self, one: Seen) -> bool:
        return one.appended_ms >= self._latest_ms - DEDUPLICATION_MS

    def _keep_by_time(self, one: Seen) -> None:
        """Keep it for its time, or not at all: behind one of a clock that was ahead none waits."""
        if self._recent(one):
            self._by_time.append(one)
        else:
            self._forget(one)

    def _remember(self, one: Seen) -> None:
        self._by_id[one.id] = (*self._by_id.get(one.id, ()), one)
        (self._by_offset if one.generation == self._generation else self._by_time).append(one)

    def _forget(self, one: Seen) -> None:
        others = tuple(other for other in self._by_id[one.id] if other is not one)
        if others:
            self._by_id[one.id] = others
        else:
            del self._by_id[one.id]
