"""Workers whose partitions belong to another host now.

They go on until a successor's claim fences them, so that no attempt waits for its start. One that
ends before that is not started again: its claim would take the partition back from its successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from processes import Phase, ProcessManager

HANDOVER_SECONDS = 15.0
"""A worker waits this long for its successor, then finishes without one.

Longer than the group's session timeout, for which one dead member can delay the others' shares,
plus a start on a busy machine.
"""


class Handover:
    """The workers of a manager that are handed over, by partition."""

    def __init__(
        self,
        manager: ProcessManager,
        name_of: Callable[[int], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._manager = manager
        self._name_of = name_of
        self._deadlines: dict[int, float] = {}

    def __contains__(self, number: int) -> bool:
        """Whether this partition's worker is handed over."""
        return number in self._deadlines

    def add(self, number: int, reassigned: bool = True) -> None:
        """Hand over this partition's worker, if there is one.

        If it is not known yet whether the partition is ``reassigned``, the worker goes on at least
        until :meth:`confirm`.
        """
        if self._name_of(number) in self._manager.states:
            self._deadlines[number] = float("inf")
            if reassigned:
                self._retire(number)

    def confirm(self) -> None:
        """Every partition that has not been taken back belongs to another host now."""
        for number, until in self._deadlines.items():
            if until == float("inf"):
                self._retire(number)

    def _retire(self, number: int) -> None:
        self._deadlines[number] = self._clock() + HANDOVER_SECONDS
        if (name := self._name_of(number)) in self._manager.states:
            self._manager.retire(name)

    def take_back(self, number: int) -> bool:
        """Keep this partition's worker; False where a new one is needed."""
        if self._deadlines.pop(number, None) is None:
            return False
        name = self._name_of(number)
        return name in self._manager.states and self._manager.keep(name)

    def complete(self) -> None:
        """Remove workers that were fenced, and those whose successor did not come in time."""
        now = self._clock()
        for number, until in list(self._deadlines.items()):
            state = self._manager.states.get(self._name_of(number))
            if state is None:
                del self._deadlines[number]
            elif state.phase == Phase.HELD or now >= until:
                self._manager.remove(self._name_of(number))
