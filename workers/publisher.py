"""Tells the decisions: verdicts to who asked, blocks and heartbeats to every gateway."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.clients import connection
from events.messages import (
    Blocked,
    Heartbeat,
    Policy,
    SetLayout,
    SetPolicy,
    Unblocked,
    Verdict,
    encode,
    new_id,
)
from events.positions import Position
from events.topics import ATTEMPTS, BLOCKS, VERDICTS
from workers.batch import AuditRow

DELIVERY_MS = 10_000
"""After this long without an acknowledgement the worker claims and publishes again."""

ANSWER_SECONDS = 2.0
"""How long the brokers may take to be known."""


class PublishError(Exception):
    """The brokers did not take what was published."""


class Publisher:
    """Publishes for one partition; nothing is sure before :meth:`wait` has returned True."""

    def __init__(self, bootstrap_servers: str, partition: int) -> None:
        self.partition = partition
        self._failure: str | None = None
        self._producer = Producer(
            connection(bootstrap_servers)
            | {
                "acks": "all",
                "enable.idempotence": True,
                # What is published while one request is under way goes with the next.
                "linger.ms": 0,
                "max.in.flight.requests.per.connection": 1,
                "delivery.report.only.error": True,
                "delivery.timeout.ms": DELIVERY_MS,
                "request.timeout.ms": 5_000,
                "queue.buffering.max.messages": 100_000,
            }
        )

    def warm(self) -> None:
        """Connect, so that a claim does not have to."""
        self._producer.list_topics(BLOCKS, timeout=ANSWER_SECONDS)

    def publish(self, generation: int, decisions: Sequence[AuditRow]) -> None:
        """Send the verdicts on these decisions, and the blocks among them."""
        for row in decisions:
            verdict = Verdict(row.id, row.user, row.decision, row.until_ms)
            self._produce(VERDICTS, row.reply_partition, encode(verdict))
            if row.change:
                position = Position(generation, row.offset)
                news: Blocked | Unblocked = (
                    Blocked(self.partition, position, row.user, row.until_ms)
                    if row.change > 0
                    else Unblocked(self.partition, position, row.user)
                )
                self._produce(BLOCKS, 0, encode(news))
        self._producer.poll(0)

    def heartbeat(self, epoch: int, position: Position, partitions: int) -> None:
        """Say that the owner lives, what has been published, and how many partitions are used."""
        self._produce(BLOCKS, 0, encode(Heartbeat(self.partition, epoch, position, partitions)))
        self._producer.poll(0)

    def propose_policy(self, policy: Policy) -> None:
        """Put a policy into the partition's log, where it begins to hold if it is newer."""
        message = SetPolicy(new_id(), 0, policy)
        self._produce(ATTEMPTS, self.partition, encode(message))

    def propose_layout(self, layout: int) -> None:
        """Put a layout into the partition's log, which enters it there (see `workers.layout`)."""
        self._produce(ATTEMPTS, self.partition, encode(SetLayout(new_id(), 0, layout)))

    def wait(self, seconds: float) -> bool:
        """Whether the brokers acknowledged everything within this time.

        Raises :class:`PublishError` if they refused something.
        """
        left = self._producer.flush(seconds)
        if self._failure is not None:
            raise PublishError(self._failure)
        return left == 0

    def close(self) -> None:
        """Drop what is not delivered: the next owner publishes the last batch again."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _produce(self, topic: str, partition: int, value: bytes) -> None:
        try:
            self._producer.produce(topic, value, partition=partition, on_delivery=self._delivered)
        except BufferError:
            self._producer.flush(DELIVERY_MS / 1000)
            self._producer.produce(topic, value, partition=partition, on_delivery=self._delivered)
        except KafkaException as error:
            raise PublishError(error.args[0].str()) from error

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failure = error.str()
