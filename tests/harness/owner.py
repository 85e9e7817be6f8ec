"""One partition, its owners, and what they did: for tests that drive an owner step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from events.clients import client_options
from events.messages import (
    Attempt,
    Blocked,
    Message,
    Policy,
    Unblocked,
    Verdict,
    decode_blocks,
    decode_verdicts,
    new_id,
)
from events.signatures import Opener
from events.signing_keys import key_file
from events.topics import ATTEMPTS, BLOCKS, VERDICTS
from settings import Settings
from tests.kafka import at, reader
from workers.decision.batch import Record
from workers.partition.attempt_reader import AttemptReader
from workers.partition.publisher import Publisher
from workers.partition.store import Progress, Store
from workers.partition.worker import Worker

PARTITION = 2
REPLIES = 5
PATIENCE_SECONDS = 60.0
FIRST = Policy(version=1)


class Owners:
    """Makes owners of the partition, each with clients of its own, and closes them all."""

    def __init__(self, kafka: str | Settings) -> None:
        """`kafka` is an address, or the settings of a client."""
        self._settings = at(kafka) if isinstance(kafka, str) else kafka
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
        store = Store(database_url, partition)
        reader = AttemptReader(self._settings, partition, PATIENCE_SECONDS)
        keys = key_file(self._settings, "workers")
        publisher = Publisher(self._settings, partition, keys)
        options.setdefault("opener", Opener(keys, self._settings.prefixed(ATTEMPTS)))
        store.open()
        store.record_not_to_blame = excused
        self._closes += [publisher.close, reader.close, store.close]
        return Worker(partition, name, reader, store, publisher, first_policy, **options)

    def delete_before(self, offset: int, partition: int = PARTITION) -> None:
        """Make the partition begin here, as retention does."""
        admin = AdminClient(client_options(self._settings))
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


def put(
    kafka: str,
    *values: bytes,
    partition: int = PARTITION,
    topic: str = ATTEMPTS,
    key: bytes | None = None,
) -> None:
    """Append these values to the partition, in this order."""
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, key, partition=partition)
    assert producer.flush(PATIENCE_SECONDS) == 0


def read_all(kafka: str, topic: str, partition: int) -> list[bytes]:
    """Everything that stands in a partition."""
    consumer = reader(kafka)
    here = TopicPartition(topic, partition, 0)
    bounds = consumer.get_watermark_offsets(here, timeout=PATIENCE_SECONDS)
    assert bounds is not None
    consumer.assign([here])
    values: list[bytes] = []
    while len(values) < bounds[1]:
        found = consumer.consume(bounds[1] - len(values), 1)
        values += [value for m in found if not m.error() and (value := m.value()) is not None]
    consumer.close()
    return values


def unsealed(value: bytes) -> bytes:
    """The message in this value, whoever signed it."""
    return Opener(None, "").open(0, None, value, 0) or b""


def verdicts(kafka: str) -> list[Verdict]:
    """All verdicts to this test's reply partition."""
    return [
        verdict
        for value in read_all(kafka, VERDICTS, REPLIES)
        for verdict in decode_verdicts(unsealed(value))
    ]


def news(kafka: str) -> list[Message]:
    """All blocks and their ends, whatever their epoch; no heartbeats and claims."""
    said = [decode_blocks(unsealed(value)) for value in read_all(kafka, BLOCKS, 0)]
    return [replace(m, epoch=0) for m in said if isinstance(m, Blocked | Unblocked)]


def work(worker: Worker, until: int) -> None:
    """Decide up to this offset."""
    go_on(worker, lambda progress: progress.next_offset >= until)
    worker.flush()


def go_on(worker: Worker, until: Callable[[Progress], bool]) -> None:
    """One turn after the other until its progress is so."""
    due = time.monotonic() + PATIENCE_SECONDS
    while worker.progress is None or not until(worker.progress):
        assert worker.run_once()
        assert time.monotonic() < due, f"it does not get on: {worker.progress}"


def wrong(user: str, partitions: int = 0) -> Attempt:
    """A wrong password for this account."""
    return Attempt(new_id(), REPLIES, user, False, partitions)


def records_from(kafka: str, offset: int) -> list[Record]:
    """The records that a worker would read from this offset on."""
    reader = AttemptReader(at(kafka), PARTITION)
    reader.seek(offset)
    while not (records := reader.read(500)):
        pass
    reader.close()
    return records
