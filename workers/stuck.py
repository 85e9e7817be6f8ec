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
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from events.clients import connection
from events.topics import ATTEMPTS

LONGEST_PATIENCE = 600.0
ANSWER_SECONDS = 2.0

LOOKS = 5
"""Within the patience; each is one question to the brokers."""


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

    def __init__(self, bootstrap_servers: str, patience: float) -> None:
        self.standstill = Standstill(patience)
        self._ends = _LogEnds(bootstrap_servers)
        self._every = patience / LOOKS
        self._looked = 0.0

    def look(self, ready: Collection[int], now: float) -> list[int]:
        """The stuck ones among the ready ones; ``now`` is a monotonic time in seconds."""
        seconds = now - self._looked
        if seconds < self._every:
            return []
        self._looked = now
        # A host that stood still itself knows nothing of that time.
        stuck = self.standstill.look(self._ends.answer(), ready, min(seconds, 2 * self._every))
        self._ends.ask(ready)
        return stuck


class _LogEnds:
    """Asks Kafka where the partitions end, and waits for no answer."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient(connection(bootstrap_servers))
        self._answers: dict[int, Future[Any]] = {}

    def ask(self, partitions: Collection[int]) -> None:
        """Ask, if the last answer is here."""
        if not partitions or not all(answer.done() for answer in self._answers.values()):
            return
        wanted = {TopicPartition(ATTEMPTS, n): OffsetSpec.latest() for n in partitions}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS)
        self._answers = {where.partition: answer for where, answer in answers.items()}

    def answer(self) -> dict[int, int] | None:
        """The ends as they were when asked; None if not all are known."""
        try:
            return {n: answer.result(0).offset for n, answer in self._answers.items()}
        except (KafkaException, TimeoutError):
            return None
