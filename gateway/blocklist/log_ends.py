"""How much of a log had been read when, by where the log was seen to end.

No clock and no I/O in here: times are passed in, in seconds of the monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MOST_ENDS = 1_000
"""The oldest is forgotten where so many have not been read up to; it is of no use then."""


class _End(NamedTuple):
    offset: int
    asked: float


class LogEnds:
    """Tells how current a reader of a log is, whatever delays it, and by no clock but its own.

    The log's end is asked for again and again. An answer names the end of some moment after the
    question. So a reader that has read up to there knows everything that was acknowledged before
    the question, and records that stand there or behind it became visible after the question.
    """

    def __init__(self) -> None:
        self.read_up_to = float("-inf")
        """Everything that was acknowledged before this moment has been read."""
        self.shrunk = False
        """Whether the log ended before what had been read of it: it is another one now."""
        # The ends up to which the log was not read when they were asked for; rising.
        self._ends: deque[_End] = deque(maxlen=MOST_ENDS)
        self._position = 0
        self._read_at = float("-inf")

    def restart(self, offset: int, now: float) -> None:
        """The log is read anew, from this offset on."""
        self.read_up_to, self.shrunk = float("-inf"), False
        self._ends.clear()
        self._position, self._read_at = offset, now

    def ended(self, offset: int, asked: float) -> None:
        """The log ended at this offset at some moment after `asked`."""
        if offset < self._position and asked > self._read_at:
            self.shrunk = True
        while self._ends and self._ends[-1].offset >= offset:
            self._ends.pop()
        self._ends.append(_End(offset, asked))
        self._note_read()

    def read(self, offset: int, now: float) -> float | None:
        """The record at this offset was read at `now`; a moment before it became visible, if known.

        It is known for the first record at or behind each end.
        """
        self._position, self._read_at = offset + 1, now
        self._note_read()
        before = None
        while self._ends and self._ends[0].offset <= offset:
            before = self._ends.popleft().asked
        return before

    def _note_read(self) -> None:
        for end in self._ends:
            if end.offset > self._position:
                break
            self.read_up_to = max(self.read_up_to, end.asked)
