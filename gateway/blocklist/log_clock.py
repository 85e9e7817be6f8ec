"""The brokers' clock, by when they appended records that this process has read.

No clock and no I/O in here: times are passed in, in seconds of the monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

KEPT_SECONDS = 10.0
"""For so long a record says what the time is: two clocks drift apart by far less meanwhile."""


class ClockBounds(NamedTuple):
    """The brokers' clock shows a time between these two, in milliseconds since 1970."""

    earliest_ms: int
    latest_ms: int


class _Sample(NamedTuple):
    """How far the brokers' clock is ahead of the monotonic one, in milliseconds."""

    learned: float
    least: float
    most: float


class LogClock:
    """Bounds the time on the brokers' clock.

    A record that was appended between two moments, at the time T on the brokers' clock, bounds
    that clock from then on: at most as much has passed since as since the first moment, and at
    least as much as since the second.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._least = 0.0
        self._most = 0.0

    def learn(self, after: float, before: float, appended_ms: int) -> None:
        """A record was appended between these two moments, with this append time.

        `after` is -inf where no earlier moment is known.
        """
        # The append time is cut to milliseconds.
        sample = _Sample(before, appended_ms - before * 1000, appended_ms + 1 - after * 1000)
        if self._samples and not (sample.least <= self._most and self._least <= sample.most):
            self._samples.clear()  # the clock was set, or is another broker's now
        while self._samples and self._samples[0].learned < before - KEPT_SECONDS:
            self._samples.popleft()
        self._samples.append(sample)
        self._least = max(sample.least for sample in self._samples)
        self._most = min(sample.most for sample in self._samples)

    def bounds(self, now: float) -> ClockBounds | None:
        """Between which times the brokers' clock is; None where nothing recent says both."""
        if not self._samples or now - self._samples[-1].learned > KEPT_SECONDS:
            return None
        if math.isinf(self._most):
            return None
        return ClockBounds(math.floor(now * 1000 + self._least), math.ceil(now * 1000 + self._most))

    def earliest_ms(self, now: float) -> int | None:
        """The least that the brokers' clock shows, however old the news; None before any."""
        return math.floor(now * 1000 + self._least) if self._samples else None

    def difference_seconds(self, now: float, host_ms: int) -> float:
        """By how many seconds the host's clock is ahead of the brokers' at least.

        Negative where it is behind; 0 where they may agree, or where nothing recent says it.
        """
        bounds = self.bounds(now)
        if bounds is None:
            return 0.0
        ahead = max(0, host_ms - bounds.latest_ms)
        return (ahead or min(0, host_ms - bounds.earliest_ms)) / 1000
