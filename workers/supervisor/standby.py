"""Standbys: workers that have started, imported and connected, and wait for a partition.

A partition whose worker died then needs a claim and no start: some milliseconds of refused
logins instead of a second or more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from processes.spawn import Child, Process
from processes.spec import ProcessSpec
from workers.partition import launch
from workers.partition.launch import STANDBY

NAMES = frozenset({f"{STANDBY}1", f"{STANDBY}2"})
"""Two, so that a second worker that dies soon after another one need not wait for a start."""

REFILL_SECONDS = 2.0
"""From a standby's start to the next one's, so that standbys that cannot live do not take the
workers' processor time. The first start after a standby was taken follows at once."""


START_SECONDS = 30.0
SILENCE_SECONDS = 2.0
"""A standby that starts, or waits, for longer without a sign of life is frozen, and replaced."""

SIGN_OF_LIFE_SECONDS = 1.2
"""A partition gets a standby that gave a sign of life so lately; they give one every half second.
One that has just frozen would cost the partition as long as a start may take."""

YOUNG_SECONDS = 5.0
"""A partition also gets a standby that started so lately and is still to give its first sign."""

logger = structlog.get_logger()


class Standbys:
    """Keeps the standbys of one host; :meth:`spawn` is for a :class:`ProcessManager`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._standbys: dict[str, Child] = {}  # by name; the first is the oldest
        # When each gave its last sign of life at the earliest; missing before the first one.
        self._heard: dict[str, float] = {}
        self._patient_until: dict[str, float] = {}  # by name
        self._start_at = 0.0
        self._refill_from = 0.0  # while the host starts, others want the processors
        self._looked_at = clock()

    @property
    def pids(self) -> list[int]:
        """The process ids of the standbys, the oldest first."""
        return [standby.pid for standby in self._standbys.values()]

    def spawn(self, spec: ProcessSpec) -> Process:
        """A worker for this partition's specification: a living standby, else a new process."""
        self.look()
        name = self._living() or self._young()
        if name is None:
            return Child(spec)
        standby = self._forget(name)
        self._start_at = self._refill_from
        standby.tell(" ".join(spec.command[len(launch.COMMAND) :]))
        return standby

    def start(self, partitions: int) -> None:
        """Start those that the first of so many partitions take, if this host gets them."""
        self._refill_from = self._start_at = self._clock() + REFILL_SECONDS
        for name in sorted(NAMES)[:partitions]:
            self._start(name)

    def refill(self) -> None:
        """Start a standby if one is missing. To be called when nothing is more urgent."""
        missing = NAMES - self._standbys.keys()
        if missing and self._clock() >= self._start_at:
            self._start_at = self._clock() + REFILL_SECONDS
            self._start(min(missing))

    def close(self) -> None:
        """End the standbys; they have nothing to finish."""
        for standby in self._standbys.values():
            standby.kill()
        while self._standbys:
            self.look()
            time.sleep(0.001)

    def look(self) -> None:
        """Hear the living, kill the silent and forget the dead. To be called again and again.

        Words heard now may have been said just after the last look, by one that froze since.
        """
        now = self._clock()
        looked_at, self._looked_at = self._looked_at, now
        for name, standby in list(self._standbys.items()):
            if standby.receive():
                self._heard[name], self._patient_until[name] = looked_at, now + SILENCE_SECONDS
            elif now > self._patient_until[name]:
                logger.error("A standby gave no sign of life and is replaced", pid=standby.pid)
                self._patient_until[name] = float("inf")
                standby.kill()
            if standby.poll() is not None:
                self._forget(name).close()

    def _start(self, name: str) -> None:
        spec = ProcessSpec(name=f"worker {name}", command=(*launch.COMMAND, name))
        try:
            self._standbys[name] = Child(spec)
        except OSError as error:  # what is there goes on deciding
            logger.warning("A standby cannot be started and is tried again", error=str(error))
            return
        self._patient_until[name] = self._clock() + START_SECONDS

    def _living(self) -> str | None:
        """The oldest one that has given a sign of life lately."""
        least = self._clock() - SIGN_OF_LIFE_SECONDS
        return next((name for name in self._standbys if self._heard.get(name, 0.0) > least), None)

    def _young(self) -> str | None:
        """One that is to give its first sign of life, sooner than a process that starts now."""
        least = self._clock() + START_SECONDS - YOUNG_SECONDS
        return next(
            (
                name
                for name in self._standbys
                if name not in self._heard and self._patient_until[name] > least
            ),
            None,
        )

    def _forget(self, name: str) -> Child:
        self._heard.pop(name, None)
        self._patient_until.pop(name)
        return self._standbys.pop(name)
