"""A worker that has started, imported and connected already, and waits for a partition.

A partition whose worker died needs a claim and no start: that is the difference between
some milliseconds and a second or more of refused logins.
"""

from __future__ import annotations

import sys
import time

from processes.spawn import Child, Process
from processes.spec import ProcessSpec
from workers.partition import SPARE

COMMAND = (sys.executable, "-m", "workers.partition")
"""What a worker's process runs; behind it comes which partition's it is to be."""

NAMES = frozenset({f"{SPARE}1", f"{SPARE}2"})
"""Two: a second worker that dies soon after another one must not wait for a start either."""

AGAIN_SECONDS = 2.0
"""From a spare's start to the next one's: those that cannot live must not eat the others'
processor. The first after one was taken follows at once."""


class Spares:
    """Keeps some spares; :meth:`spawn` is a keeper's way of starting a worker."""

    def __init__(self) -> None:
        self._spares: dict[str, Child] = {}  # by name; the first is the oldest
        self._start_at = 0.0

    @property
    def pids(self) -> list[int]:
        """The spares' processes, the oldest first."""
        return [spare.pid for spare in self._spares.values()]

    def spawn(self, spec: ProcessSpec) -> Process:
        """A worker for the partition that this specification is of: a spare, if one lives."""
        self._bury()
        if not self._spares:
            return Child(spec)
        spare = self._spares.pop(next(iter(self._spares)))
        spare.tell(" ".join(spec.command[len(COMMAND) :]))
        self._start_at = 0.0
        return spare

    def refill(self) -> None:
        """Start a spare if one is missing. For when nothing more urgent is to be done."""
        self._bury()
        missing = NAMES - self._spares.keys()
        if missing and time.monotonic() >= self._start_at:
            self._start_at = time.monotonic() + AGAIN_SECONDS
            name = min(missing)
            spec = ProcessSpec(name=f"worker {name}", command=(*COMMAND, name))
            self._spares[name] = Child(spec)

    def close(self) -> None:
        """End the spares; they have nothing to finish."""
        for spare in self._spares.values():
            spare.kill()
        while self._spares:
            self._bury()
            time.sleep(0.001)

    def _bury(self) -> None:
        for name, spare in list(self._spares.items()):
            if spare.poll() is not None:
                del self._spares[name]
                spare.close()
