"""One account's requests: how many have a turn, who waits, and when they are a flood."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

Turn = asyncio.Future[None]

CROWD = 256
"""Requests that may wait, or be refused meanwhile, before they are a flood: two hundred guesses at
once all wait for the answer that the account is blocked, in one process, too."""

LASTING = 5.0
"""Seconds for which some may wait before they are a flood, or as long as one of them may: after
that, none is left who came in the first moment."""

CALM = 3.0
"""Seconds after which a flood is over, unless more came meanwhile than all threads could take."""


@dataclass(eq=False)
class Line:
    """The requests of one account in one process."""

    user: str
    running: int = 0
    waiting: deque[Turn] = field(default_factory=deque)
    flood: bool = False
    rests: bool = False
    """No turn for now, so that others have theirs undisturbed."""
    came: int = 0
    """Of a flood: how many came in this CALM that had to wait or were refused."""
    _since: float = 0.0
    """When the first of those began to wait that have waited without a gap until now."""
    _lasting: float = LASTING
    _refused: int = 0
    """How many were refused since then."""

    def wants(self, now: float, seconds: float) -> None:
        """A request comes that has to wait, so long at most, or is refused."""
        self.came += 1
        if not self.waiting:
            self._since, self._refused = now, 0
        self._lasting = max(LASTING, seconds)

    def refuse(self) -> None:
        """It is refused."""
        self._refused += 1

    def too_many(self, now: float) -> bool:
        """Whether more wait, or for longer, than a crowd's would."""
        return bool(self.waiting) and (
            len(self.waiting) + self._refused >= CROWD or now - self._since >= self._lasting
        )

    def end_flood(self, now: float) -> None:
        """It is none any more; who waits now begins to wait now."""
        self.flood = False
        self._since, self._refused = now, 0

    def may_go(self, per_user: int) -> bool:
        """Whether one more may have a turn, of so many at the same time."""
        return not self.rests and self.running < (1 if self.flood else per_user)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember of it."""
        return not (self.running or self.waiting or self.flood or self.rests)
