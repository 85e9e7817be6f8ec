"""The end offsets of this host's partitions, requested from Kafka without waiting for answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from threading import Thread

from confluent_kafka import KafkaException

from events.clients import WORKER_ANSWER_SECONDS, asking_consumer, end_offsets
from events.topics import ATTEMPTS
from settings import Settings


class EndOffsets:
    """Requests the end offsets of partitions in a thread, one request at a time.

    It does not request the group's offsets: librdkafka's requests to a group's coordinator now and
    then end the process when a broker comes back [measured: twice in 250 faults].
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.prefixed(ATTEMPTS)
        self._consumer = asking_consumer(settings)
        self._answer: dict[int, int] | None = {}
        self._unread = False

    def ask(self, partitions: Collection[int]) -> None:
        """Send a request, unless the last one is unanswered. Does not wait."""
        if not partitions or self._answer is None:
            return
        self._answer = None
        self._unread = True
        try:
            Thread(target=self._request, args=(tuple(partitions),), daemon=True).start()
        except RuntimeError:  # no more threads may be started now; it is tried again
            self._answer = {}

    def take_answer(self) -> bool:
        """Whether a request has been answered or has failed since the last call."""
        if not self._unread or self._answer is None:
            return False
        self._unread = False
        return True

    def ends(self) -> dict[int, int]:
        """The offsets that the next records got at the last request, as far as it was answered.

        One partition without a leader hides none of the others.
        """
        return self._answer or {}

    def _request(self, partitions: tuple[int, ...]) -> None:
        found: dict[int, int] = {}
        try:
            with suppress(KafkaException):
                found = end_offsets(self._consumer, self._topic, partitions, WORKER_ANSWER_SECONDS)
        finally:
            self._answer = found


def lag(ends: Mapping[int, int], next_offsets: Mapping[int, int]) -> dict[int, int]:
    """The number of undecided records in each partition of which both offsets are known."""
    return {n: max(0, ends[n] - at) for n, at in next_offsets.items() if n in ends}
