"""A gateway hears its verdicts, whatever becomes of their topic."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from events.messages import Decision, Verdict, encode, new_id
from events.topics import VERDICTS, create_topics
from gateway.kafka.verdict_consumer import VerdictConsumer
from settings import Settings
from tests.kafka import remove_topics

PATIENCE_SECONDS = 60.0


class Gateway:
    """A gateway's ear, and what it has heard."""

    def __init__(self, kafka: str) -> None:
        self.partitions: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._producer = Producer({"bootstrap.servers": kafka, "log_level": 2})
        self._partition = -1
        settings = Settings(kafka_bootstrap_servers=kafka)
        self.verdict_consumer = VerdictConsumer(settings, self.partitions.put, self._hear)

    def _hear(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self._heard.put(verdict.id)

    def hears(self) -> None:
        """Return when a verdict is heard on the partition that this gateway names."""
        due = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < due:
            while not self.partitions.empty():
                self._partition = self.partitions.get()
            if self._partition >= 0:
                self.say(encode(Verdict(new_id(), "ana", Decision.ACCEPTED, 0)))
            try:
                self._heard.get(timeout=0.2)
            except queue.Empty:
                continue
            return
        raise AssertionError("nothing is heard")

    def say(self, value: bytes) -> None:
        """Write a record where this gateway listens."""
        self._producer.produce(VERDICTS, value, partition=self._partition)
        self._producer.flush(PATIENCE_SECONDS)


@pytest.fixture
def gateway(topics: str) -> Iterator[Gateway]:
    """It listens."""
    listening = Gateway(topics)
    listening.verdict_consumer.start()
    yield listening
    listening.verdict_consumer.close()


@pytest.mark.parametrize("records", [0, 20])
def test_verdicts_are_heard_on_a_topic_that_was_made_anew(
    gateway: Gateway, topics: str, records: int
) -> None:
    """Whether or not the new one is longer than the old one by the time that it is looked at."""
    gateway.hears()
    admin = AdminClient({"bootstrap.servers": topics})
    remove_topics(admin, VERDICTS)
    create_topics(admin, 4, replication=1)
    for _ in range(records):
        gateway.say(b"no verdict")
    gateway.hears()
