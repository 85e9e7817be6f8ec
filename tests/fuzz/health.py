"""Whether a running system came through: the same processes, and no error that nobody expected."""

from __future__ import annotations

from tests.acceptance.system import RunningSystem
from tests.fuzz.finding import FoundError

PROCESSES = ("gateway login", "gateway operator", "gateway hash", "worker partition")

SIGNS = (
    "nobody expected",
    "for an unexpected reason",
    "after an unexpected error",
    "Traceback",
    "Process died",
    "Process gave no sign of life",
)
"""In log lines: of what went wrong without a reason that is known. A standby that stood still is
replaced, and reads nothing."""


class Health:
    """What a system was like at one moment, to compare it with."""

    def __init__(self, system: RunningSystem) -> None:
        system.wait_for_all_ready()
        self._system = system
        self._pids = self._look()
        self._logged = len(self._signs())
        assert all(self._pids.values()), self._pids

    def check(self) -> None:
        """Raise :class:`FoundError` where it did not come through."""
        if (now := self._look()) != self._pids:
            raise FoundError("health", [], f"processes died: {self._pids} are {now}")
        if logged := self._signs()[self._logged :]:
            raise FoundError("health", ["\n".join(logged).encode()], logged[0])
        self._system.wait_for_all_ready()

    def _signs(self) -> list[str]:
        lines = self._system.logs().splitlines()
        return [line for line in lines if any(sign in line for sign in SIGNS)]

    def _look(self) -> dict[str, list[int]]:
        return {title: sorted(self._system.pids(title)) for title in PROCESSES}
