"""How far a worker's clock is from the brokers', by when records were appended."""

from __future__ import annotations


class Clocks:
    """Tells a late record from a wrong clock. No clock and no I/O: times are passed in.

    A record that the worker gets was appended before now, and if it stands behind an end of
    the log that the worker has seen, after that. It may have waited for anything in between,
    so only an append time outside of that says something of the clocks.
    """

    def __init__(self, end: int, at: float) -> None:
        """The log ended before this offset, or there, at this time by the worker's clock."""
        self._end = end
        self._at = at

    def ended(self, end: int, at: float) -> None:
        """As far as the worker knows the log ended here at this time."""
        # Who has just claimed has fetched nothing, and takes what the client says for the end.
        if end >= self._end:
            self._end, self._at = end, at

    def difference(self, offset: int, appended: float, now: float) -> float:
        """By how many seconds the worker's clock is ahead of the brokers' at least.

        Negative where it is behind, and 0 where they may agree. All times are in seconds.
        """
        if appended > now:
            return now - appended
        return max(0.0, self._at - appended) if offset >= self._end else 0.0
