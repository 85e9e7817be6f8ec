"""The brokers' clock, by when they appended records that this process has read.

No clock and no I/O in here: times are passed in, in seconds of the monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, TypeAlias

KEPT_SECONDS = 10.0
"""For so long a record says what the time is: two clocks drift apart by far less meanwhile."""


class ClockBounds(NamedTuple):
    """The brokers' clock shows a time between these two, in milliseconds since 1970."""

    earliest_ms: int
    latest_ms: int


_Samples: TypeAlias = deque[tuple[float, float]]
"""When each was learned, and a value: those that are or will be the greatest, which falls."""


class LogClock:
    """Bounds the time on the brokers' clock.

    A record that was appended between two moments, at the time T on the brokers' clock, bounds
    that clock from then on: at most as much has passed since as since the first moment, and at
    least as much as since the second.
    """

    def __init__(self) -> None:
        # How far the brokers' clock is ahead of the monotonic one, in milliseconds: at least, and
        # at most, which is kept negative.
        self._leasts: _Samples = deque()
        self._mosts: _Samples = deque()
        self._least = 0.0
        self._most = 0.0

    def learn(self, after: float, before: float, appended_ms: int) -> None:
        """A record was appended between these two moments, with this append time.

        `after` is -inf where no earlier moment is known.
        """
        # The append time is cut to milliseconds.
        least, most = appended_ms - before * 1000, appended_ms + 1 - after * 1000
        if self._leasts and not (least <= self._most and self._least <= most):
            self._leasts.clear()  # the clock was set, or is another broker's now
            self._mosts.clear()
        self._least = _greatest(self._leasts, before, least)
        self._most = -_greatest(self._mosts, before, -most)

    def bounds(self, now: float) -> ClockBounds | None:
        """Between which times the brokers' clock is; None where nothing recent says both."""
        if not self._leasts or now - self._leasts[-1][0] > KEPT_SECONDS:
            return None
        if math.isinf(self._most):
            return None
        return ClockBounds(math.floor(now * 1000 + self._least), math.ceil(now * 1000 + self._most))

    def earliest_ms(self, now: float) -> int | None:
        """The least that the brokers' clock shows, however old the news; None before any."""
        return math.floor(now * 1000 + self._least) if self._leasts else None

    def difference_seconds(self, now: float, host_ms: int) -> float:
        """By how many seconds the host's clock is ahead of the brokers' at least.

        Negative where it is behind; 0 where they may agree, or where nothing recent says it.
        """
        bounds = self.bounds(now)
        if bounds is None:
            return 0.0
        ahead = max(0, host_ms - bounds.latest_ms)
        return (ahead or min(0, host_ms - bounds.earliest_ms)) / 1000


def _greatest(samples: _Samples, learned: float, value: float) -> float:
    """With this one, without those that are old or can no longer be it.

    Each goes once: a heartbeat costs the same however many partitions there are.
    """
    while samples and samples[0][0] < learned - KEPT_SECONDS:
        samples.popleft()
    while samples and samples[-1][1] <= value:
        samples.pop()
    samples.append((learned, value))
    return samples[0][1]
