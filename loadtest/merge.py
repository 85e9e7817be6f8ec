"""One ledger out of those of several processes, on one host or on several.

Each process notes times on its own clock. It knows within which bounds the master's clock is
ahead of it, and says of each time how early, or how late, it may have been: the judge, which
accuses nobody of what may have been right, then stays as careful as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf
from typing import Any

from loadtest.ledger import Attempt, Ledger, Question

DRIFT = 1e-4  # how much faster or slower than another one a clock may go
Packed = dict[str, Any]  # the message from process to process, by MessagePack


class Clock:
    """How this process' clock stands to the master's."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._at: float | None = None

    @property
    def known(self) -> bool:
        """Whether the master has ever answered."""
        return self._at is not None

    def learn(self, asked: float, there: float, heard: float) -> None:
        """Note that the master's clock was at ``there`` between these two times of ours."""
        if self._at is None or heard - asked < self.latest(heard) - self.earliest(heard):
            self._low, self._high, self._at = there - heard, there - asked, heard

    def earliest(self, time: float) -> float:
        """The master's time at this time of ours, or before that."""
        return time + self._low - self._drift(time)

    def latest(self, time: float) -> float:
        """The master's time at this time of ours, or after that."""
        return time + self._high + self._drift(time)

    def _drift(self, time: float) -> float:
        return 0.0 if self._at is None or isinf(time) else DRIFT * abs(time - self._at)


class Sender:
    """The news of a process's ledger, each thing once."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._told = 0

    def news(self, *, final: bool = False) -> Packed:
        """The logins that ended since the last news; at the end all the rest, too."""
        ended = self._ledger.ended
        new, self._told = ended[self._told :], len(ended)
        if not final:
            return {"attempts": self._rows(new)}
        accounts = self._ledger.accounts.items()
        cut_off = [(u, a) for u, account in accounts for a in account.attempts if a.status is None]
        earliest, latest = self._clock.earliest, self._clock.latest
        return {
            "attempts": self._rows([*new, *cut_off]),
            "questions": [
                [user, q.kind, earliest(q.sent), latest(q.answered), q.status]
                for user, account in accounts
                for q in account.questions
            ],
            "problems": dict(self._ledger.problems),
        }

    def _rows(self, attempts: Iterable[tuple[str, Attempt]]) -> list[list[Any]]:
        earliest, latest = self._clock.earliest, self._clock.latest
        return [
            [user, a.right, earliest(a.sent), latest(a.answered), a.status, earliest(a.until)]
            for user, a in attempts
        ]


def merge(ledger: Ledger, news: Packed) -> None:
    """Add the news of another process."""
    for user, *fields in news["attempts"]:
        attempt = Attempt(*fields)
        ledger.accounts[user].attempts.append(attempt)
        if attempt.status is not None:
            ledger.ended.append((user, attempt))
    for user, *fields in news.get("questions", ()):
        ledger.accounts[user].questions.append(Question(*fields))
    ledger.problems.update(news.get("problems", {}))
