"""The checker of histories against a model of the system: of a broken one it finds what is broken.

The model is one account, its log and the view of a gateway, with random delays everywhere.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection
from itertools import count

import pytest

from loadtest.histories import Call, Rules, judge

RULES = Rules(threshold=5, window_ms=1e12, block_ms=1e12, block_max_ms=1e12)
CLIENTS, CALLS = 3, 150
DEADLINE_MS = 5_000.0
HISTORIES = 30

MORE_THAN_FIVE = "six wrong passwords are revealed"
PAST_THE_BLOCK = "a right password behind the block is accepted"
LATE_CLEARING = "an unblocking takes effect after its last moment, and gives more guesses"
LISTED_LATE = "a block is not visible when the fifth wrong password is answered"
REFUSED_LATER = "a gateway refuses long after an unblocking was answered"
MUTANTS = [MORE_THAN_FIVE, PAST_THE_BLOCK, LATE_CLEARING, LISTED_LATE, REFUSED_LATER]


class Model:
    """A system, which is right unless it is told to be wrong, and clients that use it."""

    def __init__(self, seed: int, wrong_in: Collection[str] = ()) -> None:
        self.calls: list[Call] = []
        self._luck = random.Random(seed)
        self._wrong_in = wrong_in
        self._now = 0.0
        self._number = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._decided = 0.0  # when the newest record of the log was, or will be
        self._failures = 0
        self._blocked_since: float | None = None
        self._refuses = False  # by the gateway's view

    def run(self) -> list[Call]:
        """The calls as the clients saw them."""
        for _ in range(CLIENTS):
            self._later(100, self._ask)
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()
        return self.calls

    def _later(self, most: float, event: Callable[[], None], least: float = 0.0) -> None:
        at = self._now + self._luck.uniform(least, most)
        heapq.heappush(self._events, (at, next(self._number), event))

    def _ask(self) -> None:
        if len(self.calls) >= CALLS:
            return
        kinds = ["wrong"] * 12 + ["right", "unblock", "look", "list"]
        kind, begin = self._luck.choice(kinds), self._now
        if kind in ("look", "list"):
            self._later(20, lambda: self._answer(kind, begin, 200 if self._visible() else 404))
        elif kind in ("right", "wrong") and self._refuses:
            self._later(20, lambda: self._answer(kind, begin, 429))
        elif self._luck.random() < (0.5 if kind == "unblock" else 0.03):
            self._lose(kind, begin)
        else:
            self._later(20, lambda: self._append(kind, lambda s: self._answer(kind, begin, s)))

    def _lose(self, kind: str, begin: float) -> None:
        """A call without an answer, which comes into the log or not."""
        last = float("inf") if kind == "wrong" else begin + DEADLINE_MS
        late = LATE_CLEARING in self._wrong_in and kind == "unblock"
        if late or self._luck.random() < 0.5:
            begins = DEADLINE_MS if late else 0.0
            most = 4 * DEADLINE_MS if late or kind == "wrong" else DEADLINE_MS
            self._later(most, lambda: self._append(kind, lambda _: None), begins)

        def give_up() -> None:
            self.calls.append(Call(kind, 503, begin, self._now, last))
            self._ask()

        self._later(DEADLINE_MS, give_up, DEADLINE_MS)

    def _append(self, kind: str, tell: Callable[[int], None]) -> None:
        self._decided = max(self._decided, self._now + self._luck.uniform(0, 50))
        event = (self._decided, next(self._number), lambda: self._decide(kind, tell))
        heapq.heappush(self._events, event)

    def _decide(self, kind: str, tell: Callable[[int], None]) -> None:
        blocked = self._blocked_since is not None
        if kind == "right" and blocked and PAST_THE_BLOCK in self._wrong_in:
            blocked = False
        if kind in ("right", "wrong") and blocked:
            status = 429
        elif kind == "wrong":
            status, self._failures = 401, self._failures + 1
            if self._failures == RULES.threshold + (MORE_THAN_FIVE in self._wrong_in):
                self._blocked_since = self._now
                self._later(1_000, lambda: self._hear(True))
        else:
            status = 200 if blocked or kind == "right" else 404
            self._failures, self._blocked_since = 0, None
            most = 10_000 if REFUSED_LATER in self._wrong_in else 1_500
            self._later(most, lambda: self._hear(False))
        self._later(20, lambda: tell(status))

    def _hear(self, blocked: bool) -> None:
        """News make the view what is so now, or leave it; they overtake nothing."""
        if blocked == (self._blocked_since is not None):
            self._refuses = blocked

    def _visible(self) -> bool:
        delay = 1_000 if LISTED_LATE in self._wrong_in else 0
        return self._blocked_since is not None and self._now >= self._blocked_since + delay

    def _answer(self, kind: str, begin: float, status: int) -> None:
        moment = self._now

        def arrive() -> None:
            self.calls.append(Call(kind, status, begin, max(moment, self._now)))
            self._later(300, self._ask)

        self._later(20, arrive)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_right_system_has_an_order(seed: int) -> None:
    """Anything may be delayed, lost or asked at the same moment."""
    calls = Model(seed).run()
    assert {call.status for call in calls} >= {200, 401, 404, 429, 503}
    assert judge(calls, RULES) is None


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_system_is_found(mutant: str) -> None:
    """By some of its histories at least, as delays may hide it in others."""
    found = [judge(Model(seed, [mutant]).run(), RULES) for seed in range(HISTORIES)]
    assert sum("no order explains" in (gap or "") for gap in found) >= HISTORIES / 10, found
