"""One partition of `attempts`, read by manual assignment from the offset that Postgres has."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from events.clients import connection
from events.topics import ATTEMPTS, describe
from workers.batch import Record

FIRST_RECORD_SECONDS = 0.2
"""How long a read waits for its first record; the rest of a batch is never waited for."""

SMALL = 50
"""Records of a batch that costs not much less than one of twice as many would."""

REST = 3.0
"""After a small batch as many times as long as it took is left for more to come: else a busy
worker decides them one by one, and they cost Postgres, Kafka and itself several times as much."""

REST_SECONDS = 0.02
"""... but not longer than this. Who comes after that waits for nobody."""

ANSWER_SECONDS = 2.0
"""How long the brokers may take to say where the log begins and ends."""

_MOVED = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


class LogMovedError(Exception):
    """The log does not hold the offset that was to be read, or is not there."""


class Log:
    """Reads a partition. Methods raise ``KafkaException`` where the brokers do not answer."""

    def __init__(self, bootstrap_servers: str, partition: int) -> None:
        self.partition = partition
        self._admin = AdminClient(connection(bootstrap_servers))
        self._consumer = Consumer(
            connection(bootstrap_servers)
            | {
                "error_cb": self._on_error,
                # The client wants a group's name; this consumer never joins one.
                "group.id": "cerrojo-workers-unused",
                "enable.auto.commit": False,
                # Never jump over attempts without a word, which is the default.
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 16_384,
                # A partition that was added a moment ago may be this one.
                "topic.metadata.refresh.interval.ms": 1_000,
            }
        )
        self._connection_lost = False
        self._handed_over = 0  # records
        self._handed_over_at = 0.0

    def warm(self) -> None:
        """Connect, so that a claim does not have to."""
        self.topic_id()
        self._consumer.list_topics(ATTEMPTS, timeout=ANSWER_SECONDS)

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def take_connection_lost(self) -> bool:
        """Whether all brokers were away since this was last asked: the log may be another."""
        lost, self._connection_lost = self._connection_lost, False
        return lost

    def forget_connection_lost(self) -> None:
        """Whatever was lost before now is asked anew; for a claim.

        A spare may have waited through an outage, and hears of it only now.
        """
        self._consumer.poll(0)
        self._connection_lost = False

    def topic_id(self) -> str:
        """The id of the topic, which a topic made anew does not share."""
        return str(describe(self._admin, ATTEMPTS, ANSWER_SECONDS).topic_id)

    def bounds(self) -> tuple[int, int]:
        """The first offset that the log still has, and the one that its next record gets."""
        found = self._consumer.get_watermark_offsets(self._here(), timeout=ANSWER_SECONDS)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found

    def seek(self, offset: int) -> None:
        """Read from this offset on."""
        self._consumer.assign([self._here(offset)])

    def read(self, limit: int) -> list[Record]:
        """Some of the next records, as soon as there are any; none if none came for a moment."""
        called = time.monotonic()
        # consume(n, t) would wait for all n; so the first is polled and what is there is taken.
        first = self._consumer.poll(FIRST_RECORD_SECONDS)
        if first is None:
            self._handed_over = 0
            return []
        if limit == 1:
            return _records([first])
        self._rest(called)
        messages = [first, *self._consumer.consume(limit - 1, 0)]
        self._handed_over, self._handed_over_at = len(messages), time.monotonic()
        return _records(messages)

    def _rest(self, called: float) -> None:
        """Let more come, if the batch that was done when this was called was a small one."""
        if 0 < self._handed_over < SMALL:
            took = called - self._handed_over_at
            left = called + min(REST * took, REST_SECONDS) - time.monotonic()
            if left > 0:
                time.sleep(left)

    def read_at(self, offset: int) -> Record:
        """The record at this offset, which must be within the bounds."""
        self.seek(offset)
        message = self._consumer.poll(ANSWER_SECONDS)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        records = _records([message])
        if not records:
            raise KafkaException(message.error())
        return records[0]

    def at_end(self, next_offset: int) -> bool:
        """Whether no record stands there or behind it, by what the brokers said last."""
        _, end = self._consumer.get_watermark_offsets(self._here(), cached=True) or (0, 0)
        return bool(end <= next_offset)

    def _here(self, offset: int = 0) -> TopicPartition:
        return TopicPartition(ATTEMPTS, self.partition, offset)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._connection_lost = True


def _records(messages: list[Message]) -> list[Record]:
    records = []
    for message in messages:
        error = message.error()
        if error is None:
            offset, (_, appended_ms) = message.offset(), message.timestamp()
            assert offset is not None  # a consumed record has one
            records.append(Record(offset, appended_ms, message.key(), message.value()))
        elif error.code() in _MOVED:
            raise LogMovedError(error.str())
        # Whatever else it is, the client tries again by itself.
    return records
