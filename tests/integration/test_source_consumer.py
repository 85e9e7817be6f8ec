"""A gateway knows what all gateways told of sources, also before its start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from events.messages import Outcome, Outcomes, encode
from events.topics import SOURCES, create_topics
from gateway.limits.source_consumer import SourceConsumer
from gateway.limits.source_view import WINDOW_MS, SourceView
from settings import Settings
from tests.kafka import remove_topics

PATIENCE_SECONDS = 60.0
HERE = "192.0.2.7"


class Gateway:
    """A gateway's view of sources."""

    def __init__(self, kafka: str) -> None:
        self.ahead_ms = 0
        self.view = SourceView(failures=1, attack_failures=0)
        self._producer = Producer({"bootstrap.servers": kafka, "log_level": 2})
        self.consumer = SourceConsumer(
            Settings(kafka_bootstrap_servers=kafka),
            self.view,
            lambda: int(time.time() * 1000) + self.ahead_ms,
        )

    def tell(self, value: bytes) -> None:
        """Write a record."""
        self._producer.produce(SOURCES, value, partition=0)
        assert self._producer.flush(PATIENCE_SECONDS) == 0

    def failed(self, user: str) -> None:
        """Tell that this account failed."""
        self.tell(encode(Outcomes([Outcome(HERE, user, failed=1)])))

    def until(self, so: Callable[[], bool]) -> None:
        """Return when it is so."""
        due = time.monotonic() + PATIENCE_SECONDS
        while not so():
            assert time.monotonic() < due, f"{self.view.live=} {self.view.failed_in_all=}"
            time.sleep(0.01)


@pytest.fixture
def gateway(topics: str) -> Iterator[Gateway]:
    """One that has not started to read."""
    made = Gateway(topics)
    yield made
    asyncio.run(made.consumer.close())


def test_what_was_told_before_and_after_the_start_counts(gateway: Gateway) -> None:
    """Until all of it is read, nothing stands against anybody."""
    for number in range(300):
        gateway.failed(f"user{number}")
    gateway.tell(b"no message")
    assert not gateway.view.live
    gateway.consumer.start()
    gateway.until(lambda: gateway.view.live)
    assert gateway.view.failed_in_all == 300
    gateway.failed("ana")
    gateway.until(lambda: gateway.view.failed_in_all == 301)
    gateway.ahead_ms = WINDOW_MS + 60_000
    gateway.until(lambda: gateway.view.failed_in_all == 0)


def test_what_is_older_than_the_window_is_not_even_read(gateway: Gateway) -> None:
    """A start takes no longer for what was told on former days."""
    gateway.failed("ana")
    gateway.ahead_ms = WINDOW_MS + 60_000
    gateway.consumer.start()
    gateway.until(lambda: gateway.view.live)
    assert gateway.view.attacks(1).sources == []


def test_a_topic_that_was_made_anew_is_followed(gateway: Gateway, topics: str) -> None:
    """Nothing stands against anybody by what another topic said."""
    gateway.failed("ana")
    gateway.consumer.start()
    gateway.until(lambda: gateway.view.live and gateway.view.failed_in_all == 1)
    remove_topics(AdminClient({"bootstrap.servers": topics}), SOURCES)
    gateway.until(lambda: not gateway.view.live)
    create_topics(AdminClient({"bootstrap.servers": topics}), 4, replication=1)
    gateway.failed("ben")
    gateway.until(lambda: gateway.view.live and gateway.view.failed(HERE, "ben"))
    assert not gateway.view.failed(HERE, "ana")
