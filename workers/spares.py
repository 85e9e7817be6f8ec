"""A worker that has started, imported and connected already, and waits for a partition.

A partition whose worker died needs a claim and no start: that is the difference between
some milliseconds and a second or more of refused logins.
"""

from __future__ import annotations

import sys
import time

from processes.spawn import Child, Process
from processes.spec import ProcessSpec

COMMAND = (sys.executable, "-m", "workers.partition")
"""What a worker's process runs; behind it comes which partition's it is to be."""

AGAIN_SECONDS = 2.0
"""From the start of a spare that died to the next one's: one that cannot live must not eat the
others' processor. One that was taken is followed at once."""


class Spares:
    """Keeps one spare; :meth:`spawn` is a keeper's way of starting a worker."""

    def __init__(self) -> None:
        self._spare: Child | None = None
        self._start_at = 0.0

    def spawn(self, spec: ProcessSpec) -> Process:
        """A worker for the partition that this specification is of: the spare, if it lives."""
        spare, self._spare = self._spare, None
        if spare is None:
            return Child(spec)
        if spare.poll() is not None:
            spare.close()
            return Child(spec)
        spare.tell(" ".join(spec.command[len(COMMAND) :]))
        self._start_at = 0.0
        return spare

    def refill(self) -> None:
        """Start a spare if there is none. For when nothing more urgent is to be done."""
        if self._spare is not None and self._spare.poll() is not None:
            self._spare.close()
            self._spare = None
        if self._spare is None and time.monotonic() >= self._start_at:
            self._start_at = time.monotonic() + AGAIN_SECONDS
            self._spare = Child(ProcessSpec(name="worker spare", command=(*COMMAND, "spare")))

    def close(self) -> None:
        """End the spare; it has nothing to finish."""
        if self._spare is not None:
            self._spare.kill()
            while self._spare.poll() is None:
                time.sleep(0.001)
            self._spare.close()
            self._spare = None
