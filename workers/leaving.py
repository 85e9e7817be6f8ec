"""Workers whose partitions are not this host's any more.

They go on until a successor's claim fences them, so that nobody waits for its start.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from processes import Keeper, Phase

HANDOVER_SECONDS = 15.0
"""For this long a worker waits for its successor; then it finishes without one.

More than a group's session timeout, for which one dead member can delay the others' shares,
and a start on a busy machine.
"""


class Leaving:
    """The leaving workers among those of a keeper, by partition."""

    def __init__(self, keeper: Keeper, name_of: Callable[[int], str]) -> None:
        self._keeper = keeper
        self._name_of = name_of
        self._until: dict[int, float] = {}

    def __contains__(self, number: int) -> bool:
        """Whether this partition's worker is leaving."""
        return number in self._until

    def add(self, number: int, sure: bool = True) -> None:
        """Let this partition's worker leave, if there is one.

        Where it is not sure that the partition is somebody else's, it waits for that, too.
        """
        if self._name_of(number) in self._keeper.states:
            self._until[number] = _soon() if sure else float("inf")

    def be_sure(self) -> None:
        """What has not been taken back is somebody else's now."""
        for number, until in self._until.items():
            self._until[number] = min(until, _soon())

    def take_back(self, number: int) -> Phase | None:
        """Let it stay, if it is still there: its phase, or None where a new one is needed."""
        if self._until.pop(number, None) is None:
            return None
        state = self._keeper.states.get(self._name_of(number))
        if state is None or state.phase in (Phase.DRAINING, Phase.KILLING):
            return None
        return state.phase

    def end(self) -> None:
        """Forget those that were fenced, and let those finish for whom nobody came."""
        now = time.monotonic()
        for number, until in list(self._until.items()):
            state = self._keeper.states.get(self._name_of(number))
            if state is None:
                del self._until[number]
            elif state.phase == Phase.HELD or now >= until:
                self._keeper.remove(self._name_of(number))


def _soon() -> float:
    return time.monotonic() + HANDOVER_SECONDS
