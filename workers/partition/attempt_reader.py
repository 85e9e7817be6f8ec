"""Reads one partition of `attempts` by manual assignment, from the offset stored in Postgres."""

from __future__ import annotations

import time

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from events.clients import (
    WORKER_ANSWER_SECONDS,
    assigned_consumer,
    client_options,
    explain,
    read_batch,
)
from events.topics import ATTEMPTS, describe
from settings import Settings
from workers.decision.batch import Record

FIRST_RECORD_SECONDS = 0.2
"""How long a read waits for its first record; the rest of a batch is never waited for."""

SMALL_BATCH = 50
"""Records. A batch of up to this size costs little less than one of twice as many."""

LINGER_FACTOR = 3.0
"""After a small batch of more records than this the reader waits this many times as long as the
batch took, so that more records arrive. Otherwise a busy worker decides a few at a time, and they
cost Postgres, Kafka and the worker several times as much. After fewer records a wait gains little:
they come one by one, also when none is waited for."""

LINGER_SECONDS = 0.02
"""Upper bound of that wait. A record that arrives later is decided at once."""

SAY_SECONDS = 5.0
"""Between two log lines about errors at which the client tries again."""

_MOVED = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}

logger = structlog.get_logger()


class LogMovedError(Exception):
    """The log does not have the offset to be read, or does not exist."""


class AttemptReader:
    """Reads one partition. Methods raise ``KafkaException`` where the brokers do not answer."""

    def __init__(
        self, settings: Settings, partition: int, answer_seconds: float = WORKER_ANSWER_SECONDS
    ) -> None:
        """`answer_seconds` are what the brokers may take for each answer."""
        self.partition = partition
        self._answer_seconds = answer_seconds
        self._topic = settings.prefixed(ATTEMPTS)
        self._admin = AdminClient(client_options(settings))
        self._consumer = assigned_consumer(
            settings,
            {
                "error_cb": self._on_error,
                # Less than a read waits, so that an empty one has an answer of the brokers. As long
                # may a reader wait that is set to another offset.
                "fetch.wait.max.ms": 150,
                "queued.max.messages.kbytes": 16_384,
                # A partition that was added a moment ago may be this one.
                "topic.metadata.refresh.interval.ms": 1_000,
            },
        )
        self._connection_lost = False
        self._last_batch_size = 0  # records
        self._last_batch_at = 0.0
        self._say_at = 0.0

    def warm(self) -> None:
        """Connect, so that a claim does not have to."""
        self.topic_id()
        self._consumer.list_topics(self._topic, timeout=self._answer_seconds)

    def close(self) -> None:
        """Close the connections to the brokers."""
        self._consumer.close()

    def take_connection_lost(self) -> bool:
        """Whether all brokers were away since the last call, so that the log may be another one."""
        lost, self._connection_lost = self._connection_lost, False
        return lost

    def forget_connection_lost(self) -> None:
        """Forget connections that were lost before now; a claim reads everything anew.

        A standby may have waited through an outage, and its client reports it only now.
        """
        self._consumer.poll(0)
        self._connection_lost = False

    def topic_id(self) -> str:
        """The id of the topic; a topic that is deleted and created again has another one."""
        return str(describe(self._admin, self._topic, self._answer_seconds).topic_id)

    def partition_count(self) -> int:
        """How many partitions the topic has."""
        return len(describe(self._admin, self._topic, self._answer_seconds).partitions)

    def bounds(self) -> tuple[int, int]:
        """The first offset that the log still has, and the offset that its next record gets."""
        found = self._consumer.get_watermark_offsets(
            self._topic_partition(), timeout=self._answer_seconds
        )
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found

    def seek(self, offset: int) -> None:
        """Read from this offset on."""
        self._consumer.assign([self._topic_partition(offset)])

    def read(self, limit: int) -> list[Record]:
        """Up to ``limit`` of the next records; none after 0.2 s without one.

        Raises :class:`LogMovedError` where the log does not have the next offset.
        """
        called_at = time.monotonic()
        messages = read_batch(
            self._consumer, limit, FIRST_RECORD_SECONDS, lambda: self._linger(called_at)
        )
        self._last_batch_size, self._last_batch_at = len(messages), time.monotonic()
        return self._records(messages)

    def _linger(self, called_at: float) -> None:
        """Wait for more records where those come fast, but the last batch was small.

        It was done at ``called_at``.
        """
        if LINGER_FACTOR < self._last_batch_size < SMALL_BATCH:
            took = called_at - self._last_batch_at
            remaining = called_at + min(LINGER_FACTOR * took, LINGER_SECONDS) - time.monotonic()
            if remaining > 0:
                time.sleep(remaining)

    def read_at(self, offset: int) -> Record:
        """The record at this offset, which must be within the bounds; reading goes on after it."""
        self.seek(offset)
        message = self._consumer.poll(self._answer_seconds)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        records = self._records([message])
        if not records:
            raise KafkaException(message.error())
        return records[0]

    def at_end(self, next_offset: int) -> bool:
        """Whether the log has no record at or after this offset, by the brokers' last answer."""
        cached = self._consumer.get_watermark_offsets(self._topic_partition(), cached=True)
        return not cached or bool(cached[1] <= next_offset)

    def _topic_partition(self, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, self.partition, offset)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._connection_lost = True

    def _records(self, messages: list[Message]) -> list[Record]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                offset, (_, appended_ms) = message.offset(), message.timestamp()
                assert offset is not None  # a consumed record has one
                records.append(Record(offset, appended_ms, message.key(), message.value()))
            elif error.code() in _MOVED:
                raise LogMovedError(error.str())
            else:  # the client tries again by itself
                self._say(error)
        return records

    def _say(self, error: KafkaError) -> None:
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + SAY_SECONDS
            logger.warning(
                "The partition cannot be read", partition=self.partition, error=explain(error)
            )
