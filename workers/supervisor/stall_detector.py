"""Finds workers that are alive but decide nothing although records wait for them.

A worker is stuck when the log has records after the offset that it reported last, and this offset
has not moved for the patience (``CERROJO_STUCK_SECONDS``). A worker must not be blamed for a
dependency that is away, so time counts only while

- the worker is ready, which a worker in a crash loop is not,
- Kafka answers the supervisor's own request for the end of the log, and
- the worker reports progress; or, if it reports that Kafka or Postgres failed, another worker of
  this host moved on meanwhile.

Each replacement at the same offset doubles the patience, up to :data:`LONGEST_PATIENCE_SECONDS`, so
that a batch which takes longer than the patience, as with a very slow database, gets through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from workers.supervisor.end_offsets import EndOffsets

LONGEST_PATIENCE_SECONDS = 600.0
CHECKS_PER_PATIENCE = 5
"""Checks within the patience; each sends one request to the brokers."""

CHECK_SECONDS = 3.0
"""The longest time between two checks, since the metrics of lag come from their answers."""


@dataclass
class _Partition:
    patience: float  # seconds
    offset: int = -1
    working: bool = False
    waiting: bool = False
    moved: bool = False
    stalled_seconds: float = 0.0


class StallTimes:
    """For how long each worker's offset has not moved. No clock, no I/O."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._partitions: dict[int, _Partition] = {}

    def progressed(self, partition: int, offset: int) -> None:
        """The worker reports that it works and decides this offset next."""
        here = self._partitions.setdefault(partition, _Partition(self._patience))
        here.working, here.waiting = True, False
        if offset != here.offset:
            here.offset, here.moved, here.stalled_seconds, here.patience = (
                offset,
                True,
                0.0,
                self._patience,
            )

    def waits_for_others(self, partition: int) -> None:
        """The worker reports that other partitions have to enter a layout first."""
        if partition in self._partitions:
            self._partitions[partition].waiting = True

    def dependency_failed(self, partition: int) -> None:
        """The worker reports that Kafka or Postgres failed."""
        if partition in self._partitions:
            self._partitions[partition].working = False

    def forget(self, partition: int) -> None:
        """The partition belongs to another host now."""
        self._partitions.pop(partition, None)

    def check(self, ends: Mapping[int, int], ready: Collection[int], seconds: float) -> list[int]:
        """The partitions whose workers are stuck, ``seconds`` after the last check.

        ``ends`` are the offsets that the next records of the partitions get, of those of which
        Kafka has answered.
        """
        stuck = []
        movers = {number for number, here in self._partitions.items() if here.moved}
        for number, here in self._partitions.items():
            here.moved = False
            behind = number in ends and ends[number] > here.offset
            if number not in ready or not behind or here.waiting:
                here.stalled_seconds = 0.0
            elif here.working or movers - {number}:
                here.stalled_seconds += seconds
            if here.stalled_seconds >= here.patience:
                stuck.append(number)
                here.stalled_seconds, here.patience = (
                    0.0,
                    min(here.patience * 2, LONGEST_PATIENCE_SECONDS),
                )
        return stuck


class StallDetector:
    """Finds this host's stuck workers by their reported offsets and Kafka's end offsets."""

    def __init__(self, patience: float, end_offsets: EndOffsets) -> None:
        self.stall_times = StallTimes(patience)
        self._end_offsets = end_offsets
        self._check_seconds = min(patience / CHECKS_PER_PATIENCE, CHECK_SECONDS)
        self._checked_at = 0.0

    def check(self, owned: Collection[int], ready: Collection[int], now: float) -> list[int]:
        """The stuck partitions among the ready ones; none until the next check is due.

        ``now`` is a monotonic time in seconds. End offsets are requested of all ``owned`` ones.
        """
        seconds = now - self._checked_at
        if seconds < self._check_seconds:
            return []
        self._checked_at = now
        # While the host itself stood still, nothing is known of its workers.
        stuck = self.stall_times.check(
            self._end_offsets.ends(), ready, min(seconds, 2 * self._check_seconds)
        )
        self._end_offsets.ask(owned)
        return stuck
