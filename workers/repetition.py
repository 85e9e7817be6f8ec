"""Which requests stand in the log a second time: a request counts once, however often it is there.

A request is a repetition where another one with its id was decided within :data:`REACH` offsets
before it, in the same partition and generation. That is a question about the log alone, so every
owner, whenever it came, answers it alike; the audit has what an owner did not see itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

REACH = 20_000
"""Offsets. A producer repeats a record within seconds; this bounds what an owner must know."""


class Recent:
    """The requests that were decided last, by their ids."""

    def __init__(self, offsets: Mapping[bytes, int]) -> None:
        """``offsets`` are those of all that were decided up to now, as far as they matter."""
        self._offsets = dict(offsets)
        self._oldest = deque(offsets.items())

    def has(self, id_: bytes, offset: int) -> bool:
        """Whether a request that stands here repeats one of them."""
        before = self._offsets.get(id_)
        return before is not None and before >= offset - REACH

    def add(self, decided: Iterable[tuple[bytes, int]]) -> None:
        """Note what was decided, in the order of its offsets."""
        decided = list(decided)
        self._offsets.update(decided)
        self._oldest.extend(decided)
        out_of_reach = decided[-1][1] - REACH if decided else 0
        while self._oldest and self._oldest[0][1] < out_of_reach:
            id_, offset = self._oldest.popleft()
            if self._offsets[id_] == offset:  # else it was there again since
                del self._offsets[id_]
