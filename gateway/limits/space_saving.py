"""The things that were counted most, in bounded memory: the Space-Saving sketch.

Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams
(2005). Each thing with more than 1/`size` of all that was counted is among those that are kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple


class Heavy(NamedTuple):
    """A thing that was counted often: at most so often, and at least ``times - error``."""

    key: str
    times: int
    error: int


class SpaceSaving:
    """Counts things, of which it keeps `size`; a new one takes the place of the rarest one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[str, tuple[int, int]] = {}  # count and error
        self._heap: list[tuple[int, str]] = []  # each one's count, or what it was before

    def add(self, key: str, times: int = 1) -> None:
        """Count a thing."""
        known = self._counts.get(key)
        if known is not None:
            self._counts[key] = known[0] + times, known[1]
            return
        least = self._drop_rarest() if len(self._counts) == self._size else 0
        self._counts[key] = least + times, least
        heapq.heappush(self._heap, (least + times, key))

    @property
    def least(self) -> int:
        """How often a thing that is not kept was counted at most."""
        if len(self._counts) < self._size:
            return 0
        return min(count for count, _ in self._counts.values())

    def items(self) -> dict[str, tuple[int, int]]:
        """Counts and errors."""
        return self._counts

    def _drop_rarest(self) -> int:
        while True:
            count, key = self._heap[0]
            now = self._counts[key][0]
            if now == count:
                heapq.heappop(self._heap)
                del self._counts[key]
                return now
            heapq.heapreplace(self._heap, (now, key))


def heaviest(sketches: Iterable[SpaceSaving], number: int) -> list[Heavy]:
    """The things that were counted most in these sketches together, most first."""
    sketches = list(sketches)
    least = [sketch.least for sketch in sketches]
    found = []
    for key in {key for sketch in sketches for key in sketch.items()}:
        count = error = 0
        for sketch, unknown in zip(sketches, least, strict=True):
            more, wrong = sketch.items().get(key, (unknown, unknown))
            count, error = count + more, error + wrong
        found.append(Heavy(key, count, error))
    return heapq.nsmallest(number, found, key=lambda heavy: (heavy.error - heavy.times, heavy.key))
