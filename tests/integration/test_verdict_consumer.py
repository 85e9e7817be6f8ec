"""A gateway hears its verdicts, whatever becomes of their topic."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from events.messages import Decision, Verdict, encode, new_id
from events.topics import BLOCKS, VERDICTS, create_topics
from gateway.blocklist import end_watcher
from gateway.kafka import verdict_consumer
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
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first client of each kind cannot be made, as while a certificate is replaced."""
    for module, name in (
        (verdict_consumer, "assigned_consumer"),
        (end_watcher, "asking_consumer"),
    ):
        monkeypatch.setattr(module, name, _failing_once(getattr(module, name)))


def _failing_once(make: Callable[..., Consumer]) -> Callable[..., Consumer]:
    first = iter([True])

    def make_or_fail(*arguments: Any) -> Consumer:
        if next(first, False):
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG))
        return make(*arguments)

    return make_or_fail


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


@pytest.mark.usefixtures("short")
def test_a_client_that_could_not_be_made_is_made_again(topics: str) -> None:
    """Without its threads a process would answer 503 for ever, and count guesses all the same."""
    gateway = Gateway(topics)
    gateway.verdict_consumer.start()
    gateway.hears()
    gateway.verdict_consumer.close()
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()
    settings = Settings(kafka_bootstrap_servers=topics)
    watcher = end_watcher.EndWatcher(settings, BLOCKS, 0, lambda end, _: ends.put(end))
    watcher.start()
    assert ends.get(timeout=PATIENCE_SECONDS) == 0
    watcher.stop(PATIENCE_SECONDS)
