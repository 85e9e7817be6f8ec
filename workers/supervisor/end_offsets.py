"""The end offsets of this host's partitions, requested from Kafka without waiting for answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from events.clients import WORKER_ANSWER_SECONDS, client_options, reason
from events.topics import ATTEMPTS
from settings import Settings

logger = structlog.get_logger()


class EndOffsets:
    """Requests the end offsets of partitions, one request at a time.

    It does not request the group's offsets: librdkafka's requests to a group's coordinator now and
    then end the process when a broker comes back [measured: twice in 250 faults].

    Two requests that failed one after the other are followed by one of a new client: the former one
    keeps a partition's old leader and epoch, and all its further requests fail [measured: for the
    minute that was watched, after a broker stood still for three seconds], or that it has
    none: librdkafka goes by its cache there. One is not: a new
    client's first may find no leader, and its next ones do [measured: 9 of 120, with three brokers;
    where each failure made a new client, nothing was known for up to 97 s].
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.prefixed(ATTEMPTS)
        self._admin = AdminClient(client_options(settings))
        self._ends: dict[int, Future[Any]] = {}
        self._unread = False
        self._failures = 0

    def ask(self, partitions: Collection[int]) -> None:
        """Send a request, unless the last one is unanswered. Does not wait."""
        if not partitions or not self._answered:
            return
        self._failures = self._failures + 1 if len(self.ends()) < len(self._ends) else 0
        if self._failures == 2:
            self._failures = 0
            try:
                self._admin = AdminClient(client_options(self._settings))
            except KafkaException as error:  # as where a file of TLS is just replaced
                logger.warning("No new client of Kafka can be made", error=reason(error))
        wanted = {TopicPartition(self._topic, n): OffsetSpec.latest() for n in partitions}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(wanted, request_timeout=WORKER_ANSWER_SECONDS)
        self._ends = {where.partition: answer for where, answer in answers.items()}
        self._unread = True

    def take_answer(self) -> bool:
        """Whether a request has been answered or has failed since the last call."""
        if not self._unread or not self._answered:
            return False
        self._unread = False
        return True

    def ends(self) -> dict[int, int]:
        """The offsets that the next records got at the last request, as far as it was answered.

        One partition without a leader hides none of the others.
        """
        found: dict[int, int] = {}
        for number, answer in self._ends.items():
            with suppress(KafkaException, TimeoutError):
                found[number] = int(answer.result(0).offset)
        # A request that came to its end without an answer may give an offset below zero, too.
        return {number: offset for number, offset in found.items() if offset >= 0}

    @property
    def _answered(self) -> bool:
        return all(answer.done() for answer in self._ends.values())


def lag(ends: Mapping[int, int], next_offsets: Mapping[int, int]) -> dict[int, int]:
    """The number of undecided records in each partition of which both offsets are known."""
    return {n: max(0, ends[n] - at) for n, at in next_offsets.items() if n in ends}
