"""How many requests may wait for a hash."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class WaitingRoom:
    """Room for a number of requests; for fewer while some wait in vain.

    The rule, with no constant of its own: once a request has waited in vain, none may wait whose
    turn comes after more others than were served in the time for which one may wait; until for that
    time none has waited in vain or was refused. So a crowd is let in whole, whatever its size, and
    an overload that lasts is refused at once instead of after a wait. Turns go round by source: so
    the first request of a source is before the hundreds that another one has waiting.

    No source may have more waiting than there is room left. So one alone fills half of it, two fill
    a third each, and there is room for another one always.
    """

    def __init__(
        self, most: int, patience_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """At most `most` requests may wait, each for at most `patience_seconds`."""
        self._most = most
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._served_at: deque[float] = deque()
        self._short_at = float("-inf")

    def served(self) -> None:
        """A request that waited, or did not need to, has what it came for."""
        self._served_at.append(self._clock())
        self._forget()

    def in_vain(self) -> None:
        """A request has waited as long as it may."""
        self._short_at = self._clock()

    def full(self, waiting: int, of_source: int, sources: int) -> bool:
        """Whether a request is refused that comes now.

        So many wait, and so many of them of its source; `sources` have one waiting, or would with
        it.
        """
        now = self._clock()
        crowded = waiting + of_source >= self._most
        if now - self._short_at >= self._patience_seconds:
            return crowded
        self._forget()
        # One may always wait, or nothing would be served again after a standstill.
        if not crowded and (of_source + 1) * sources <= max(1, len(self._served_at)):
            return False
        self._short_at = now
        return True

    def _forget(self) -> None:
        oldest = self._clock() - self._patience_seconds
        while self._served_at and self._served_at[0] < oldest:
            self._served_at.popleft()
