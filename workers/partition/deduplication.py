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
from collections.abc import Iterable, Iterator, Sequence
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


_MS_BITS = 64
_MS_MASK = (1 << _MS_BITS) - 1
_ABOVE_ALL = 1 << 2 * _MS_BITS  # an id's number
_MS_FROM = -(1 << _MS_BITS - 1)  # so that every append time is a positive number of these bits


class _Queue(NamedTuple):
    """Ids in log order with their numbers; pairs would take more than both."""

    ids: deque[bytes]
    numbers: deque[int]

    def pop_below(self, number: int) -> Iterator[tuple[bytes, int]]:
        ids, numbers = self
        while numbers and numbers[0] < number:
            yield ids.popleft(), numbers.popleft()


class RecentIds:
    """The requests that a later one may repeat.

    Each id has one number: one more than the offset of its last request of this generation, or 0,
    and in the bits below the latest append time of any. So it takes half of what objects would
    take, and a busy partition has a hundred thousand.
    """

    def __init__(self, generation: int, latest_ms: int, seen: Iterable[Seen] = ()) -> None:
        """``seen`` are the decided requests within reach, in log order."""
        self._latest_ms = latest_ms
        self._by_id: dict[bytes, int] = {}
        self._by_offset = _Queue(deque(), deque())
        self._by_time = _Queue(deque(), deque())
        for one in seen:
            ms = one.appended_ms - _MS_FROM
            if one.generation == generation:
                self._remember(self._by_offset, one.id, one.offset + 1, ms)
            else:
                self._remember(self._by_time, one.id, 0, ms)

    def is_repeated(self, id_: bytes, offset: int, latest_ms: int) -> bool:
        """Whether a request with this id at this offset repeats an earlier one.

        ``latest_ms`` is the latest append time of the batch up to this record.
        """
        number = self._by_id.get(id_)
        if number is None:
            return False
        recent = _recent_from(max(self._latest_ms, latest_ms))
        return number >= _near_from(offset) or number & _MS_MASK >= recent

    def add(self, rows: Sequence[AuditRow]) -> None:
        """Add the requests of one batch, in log order."""
        if not rows:
            return
        for row in rows:
            if row.decision not in NOTHING_CAME_OF_IT:
                ms = row.appended_ms - _MS_FROM
                self._remember(self._by_offset, row.id, row.offset + 1, ms)
        self._latest_ms = max(self._latest_ms, max(row.appended_ms for row in rows))
        self._keep_by_time(_near_from(rows[-1].offset))
        for id_, number in self._by_time.pop_below(_recent_from(self._latest_ms)):
            if self._by_id.get(id_) == number:
                del self._by_id[id_]

    def enter_generation(self) -> None:
        """Go on in another generation, from whose offsets the former ones are never near."""
        self._keep_by_time(_ABOVE_ALL)

    def _keep_by_time(self, below: int) -> None:
        """Keep what is not near any more for its time, or not at all.

        Those behind one of a clock that was ahead would wait for it to be forgotten.
        """
        recent = _recent_from(self._latest_ms)
        for id_, number in self._by_offset.pop_below(below):
            if self._by_id.get(id_) != number:
                continue  # a later request has it
            if number & _MS_MASK >= recent:
                self._remember(self._by_time, id_, 0, number & _MS_MASK)
            else:
                del self._by_id[id_]

    def _remember(self, queue: _Queue, id_: bytes, above: int, ms: int) -> None:
        former = self._by_id.get(id_)
        if former is not None:
            ms = max(ms, former & _MS_MASK)
        number = self._by_id[id_] = above << _MS_BITS | ms
        queue.ids.append(id_)
        queue.numbers.append(number)


def _near_from(offset: int) -> int:
    """The least number of an id that is near this offset."""
    return max(1, offset - DEDUPLICATION_OFFSETS + 1) << _MS_BITS


def _recent_from(latest_ms: int) -> int:
    """The least number, below the offset, of an id that is recent at this time."""
    return latest_ms - DEDUPLICATION_MS - _MS_FROM
