"""The difference between a worker's clock and the brokers', by the append times of records."""

from __future__ import annotations


class Clocks:
    """Tells a late record from a wrong clock. No clock and no I/O: times are passed in.

    A record that the worker gets was appended before now. If its offset is at or after an end of
    the log that the worker has seen, it was appended after the worker saw that end. It may have
    waited for any time in between, so only an append time outside these bounds shows a wrong clock.
    """

    def __init__(self, end: int, at: float) -> None:
        """The log ended at or before this offset at this time by the worker's clock."""
        self._end = end
        self._at = at

    def note_end(self, end: int, at: float) -> None:
        """Note that, as far as the worker knows, the log ended here at this time."""
        # A worker that has just claimed has fetched nothing yet, so its client's end may be too
        # low.
        if end >= self._end:
            self._end, self._at = end, at

    def difference(self, offset: int, appended: float, now: float) -> float:
        """The least number of seconds by which the worker's clock is ahead of the brokers'.

        Negative where it is behind, 0 where they may agree. All times are in seconds.
        """
        if appended > now:
            return now - appended
        return max(0.0, self._at - appended) if offset >= self._end else 0.0
