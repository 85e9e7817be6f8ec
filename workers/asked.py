"""What Kafka says of this host's partitions, asked by the supervisor, who waits for no answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from events.clients import connection
from events.topics import ATTEMPTS

ANSWER_SECONDS = 2.0


class Asked:
    """One question at a time: where partitions end.

    Not how far the group is: librdkafka's questions to a group's coordinator end the process,
    now and then, where a broker comes back [measured: twice in 250 faults].
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient(connection(bootstrap_servers))
        self._ends: dict[int, Future[Any]] = {}
        self._news = False

    def ask(self, partitions: Collection[int]) -> None:
        """Ask, if the last answer is here."""
        if not partitions or not self._answered:
            return
        wanted = {TopicPartition(ATTEMPTS, n): OffsetSpec.latest() for n in partitions}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS)
        self._ends = {where.partition: answer for where, answer in answers.items()}
        self._news = True

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

    @property
    def _answered(self) -> bool:
        return all(answer.done() for answer in self._ends.values())


def behind(ends: Mapping[int, int] | None, next_offsets: Mapping[int, int]) -> dict[int, int]:
    """How many records wait in each partition of which both is known."""
    return {n: max(0, ends[n] - at) for n, at in next_offsets.items() if ends and n in ends}
