"""Workers that live, and decide nothing although there is something to decide.

A worker is stuck when the log has records behind the offset that it said last, and this offset
has not moved for the patience (``CERROJO_STUCK_SECONDS``). It must not be blamed for a
dependency that is away, so only such time counts in which

- it is ready, which a worker in a crash loop is not,
- Kafka answered the supervisor's own question for the end of the log, and
- it says that it works; or, where it says that Kafka or Postgres fail it, another worker of this
  host moved on meanwhile.

Each replacement at the same offset doubles the patience, up to :data:`LONGEST_PATIENCE`: what
needs longer than it has, as with a very slow database, must get through some time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from workers.asked import Asked

LONGEST_PATIENCE = 600.0
LOOKS = 5
"""Within the patience; each is one question to the brokers."""

EVERY_SECONDS = 3.0
"""... and there is one so often at least, as the metrics say what is answered."""


@dataclass
class _Partition:
    patience: float
    offset: int = -1
    works: bool = False
    moved: bool = False
    stood: float = 0.0


class Standstill:
    """What each worker said last, and for how long it has not moved. No clock, no I/O."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._partitions: dict[int, _Partition] = {}

    def said(self, partition: int, offset: int) -> None:
        """The worker works, and this is the next record that it will decide."""
        here = self._partitions.setdefault(partition, _Partition(self._patience))
        here.works = True
        if offset != here.offset:
            here.offset, here.moved, here.stood, here.patience = offset, True, 0.0, self._patience

    def failed(self, partition: int) -> None:
        """The worker says that Kafka or Postgres fail it."""
        if partition in self._partitions:
            self._partitions[partition].works = False

    def forget(self, partition: int) -> None:
        """The partition is another host's affair now."""
        self._partitions.pop(partition, None)

    def look(
        self, ends: Mapping[int, int] | None, ready: Collection[int], seconds: float
    ) -> list[int]:
        """Who is stuck, ``seconds`` after the last look.

        ``ends`` are the offsets that the next records of the partitions get; None if Kafka
        did not answer.
        """
        stuck = []
        movers = {number for number, here in self._partitions.items() if here.moved}
        for number, here in self._partitions.items():
            here.moved = False
            if ends is None or number not in ready or ends.get(number, 0) <= here.offset:
                here.stood = 0.0
            elif here.works or movers - {number}:
                here.stood += seconds
            if here.stood >= here.patience:
                stuck.append(number)
                here.stood, here.patience = 0.0, min(here.patience * 2, LONGEST_PATIENCE)
        return stuck


class Watch:
    """Finds this host's stuck workers: what they say, against what Kafka says."""

    def __init__(self, patience: float, asked: Asked) -> None:
        self.standstill = Standstill(patience)
        self._asked = asked
        self._every = min(patience / LOOKS, EVERY_SECONDS)
        self._looked = 0.0

    def look(self, held: Collection[int], ready: Collection[int], now: float) -> list[int]:
        """The stuck ones among the ready ones; ``now`` is a monotonic time in seconds.

        Kafka is asked about all that are held.
        """
        seconds = now - self._looked
        if seconds < self._every:
            return []
        self._looked = now
        # A host that stood still itself knows nothing of that time.
        stuck = self.standstill.look(self._asked.ends(), ready, min(seconds, 2 * self._every))
        self._asked.ask(held)
        return stuck
