"""One partition, its owners, and what they did: for tests that drive an owner step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from events.messages import (
    Attempt,
    Heartbeat,
    Message,
    Policy,
    Verdict,
    decode_blocks,
    decode_verdict,
    new_id,
)
from events.topics import ATTEMPTS, BLOCKS, VERDICTS
from workers.batch import Record
from workers.log import Log
from workers.publisher import Publisher
from workers.store import Progress, Store
from workers.worker import Worker

PARTITION = 2
REPLIES = 5
PATIENCE = 60.0  # seconds
FIRST = Policy(version=1)


class Owners:
    """Makes owners of the partition, each with clients of its own, and closes them all."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._closes: list[Callable[[], None]] = []

    def new(
        self,
        database_url: str,
        name: str = "me",
        first_policy: Policy = FIRST,
        excused: bool = False,
        partition: int = PARTITION,
        **options: Any,
    ) -> Worker:
        """An owner that has not claimed anything yet."""
        store, log = Store(database_url, partition), Log(self._kafka, partition)
        publisher = Publisher(self._kafka, partition)
        store.open()
        store.excused = excused
        self._closes += [publisher.close, log.close, store.close]
        return Worker(partition, name, log, store, publisher, first_policy, **options)

    def delete_before(self, offset: int, partition: int = PARTITION) -> None:
        """Make the partition begin here, as retention does."""
        admin = AdminClient({"bootstrap.servers": self._kafka})
        here = TopicPartition(ATTEMPTS, partition, offset)
        for future in admin.delete_records([here]).values():
            future.result()

    def __enter__(self) -> Owners:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was made."""
        for close in self._closes:
            close()


def put(kafka: str, *values: bytes, partition: int = PARTITION) -> None:
    """Append these values to the partition, in this order."""
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
    for value in values:
        producer.produce(ATTEMPTS, value, partition=partition)
    assert producer.flush(10) == 0


def read_all(kafka: str, topic: str, partition: int) -> list[bytes]:
    """Everything that stands in a partition."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "test"})
    here = TopicPartition(topic, partition, 0)
    bounds = consumer.get_watermark_offsets(here, timeout=10)
    assert bounds is not None
    consumer.assign([here])
    values: list[bytes] = []
    while len(values) < bounds[1]:
        values += [m.value() for m in consumer.consume(bounds[1] - len(values), 1) if not m.error()]
    consumer.close()
    return values


def verdicts(kafka: str) -> list[Verdict]:
    """All verdicts to this test's reply partition."""
    return [decode_verdict(value) for value in read_all(kafka, VERDICTS, REPLIES)]


def news(kafka: str) -> list[Message]:
    """All blocks and their ends; no heartbeats."""
    said = [decode_blocks(value) for value in read_all(kafka, BLOCKS, 0)]
    return [message for message in said if not isinstance(message, Heartbeat)]


def work(worker: Worker, until: int) -> None:
    """Decide up to this offset."""
    go_on(worker, lambda progress: progress.next_offset >= until)
    worker.finish()


def go_on(worker: Worker, until: Callable[[Progress], bool]) -> None:
    """One turn after the other until its progress is so."""
    due = time.monotonic() + PATIENCE
    while worker.progress is None or not until(worker.progress):
        assert worker.run_once()
        assert time.monotonic() < due, f"it does not get on: {worker.progress}"


def wrong(user: str, partitions: int = 0) -> Attempt:
    """A wrong password for this account."""
    return Attempt(new_id(), REPLIES, user, False, partitions)


def records_from(kafka: str, offset: int) -> list[Record]:
    """What a worker would read from this offset on."""
    log = Log(kafka, PARTITION)
    log.seek(offset)
    while not (records := log.read(500)):
        pass
    log.close()
    return records
