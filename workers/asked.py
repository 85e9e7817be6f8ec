"""What Kafka says of this host's partitions, asked by the supervisor, who waits for no answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from events.clients import connection
from events.topics import ATTEMPTS

ANSWER_SECONDS = 2.0


class Asked:
    """One question at a time: where partitions end, and how far the group says that some are."""

    def __init__(self, bootstrap_servers: str, group: str) -> None:
        self._admin = AdminClient(connection(bootstrap_servers))
        self._group = group
        self._ends: dict[int, Future[Any]] = {}
        self._committed: list[Future[Any]] = []
        self._news = False

    def ask(self, partitions: Collection[int], unknown: Collection[int]) -> None:
        """Ask, if the last answer is here; how far they are only about the unknown ones."""
        if not partitions or not self._answered:
            return
        wanted = {TopicPartition(ATTEMPTS, n): OffsetSpec.latest() for n in partitions}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS)
        self._ends = {where.partition: answer for where, answer in answers.items()}
        self._committed, self._news = [], True
        if unknown:
            where = [TopicPartition(ATTEMPTS, n) for n in unknown]
            self._committed += self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(self._group, where)], request_timeout=ANSWER_SECONDS
            ).values()

    def take_news(self) -> bool:
        """Whether there is an answer since this was last asked, be it that there is none."""
        if not self._news or not self._answered:
            return False
        self._news = False
        return True

    def ends(self) -> dict[int, int] | None:
        """The offsets that their next records get, when asked; None if not all are known."""
        try:
            return {n: answer.result(0).offset for n, answer in self._ends.items()}
        except (KafkaException, TimeoutError):
            return None

    def committed(self) -> dict[int, int]:
        """How far the unknown ones are, where the group knows it."""
        try:
            found = [
                where for answer in self._committed for where in answer.result(0).topic_partitions
            ]
        except (KafkaException, TimeoutError):
            return {}
        return {where.partition: where.offset for where in found if where.offset >= 0}

    @property
    def _answered(self) -> bool:
        return all(answer.done() for answer in (*self._ends.values(), *self._committed))


def behind(ends: Mapping[int, int] | None, next_offsets: Mapping[int, int]) -> dict[int, int]:
    """How many records wait in each partition of which both is known."""
    return {n: max(0, ends[n] - at) for n, at in next_offsets.items() if ends and n in ends}
