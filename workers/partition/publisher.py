"""Publishes verdicts to the gateway that asked, and blocks and heartbeats to every gateway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.clients import WORKER_ANSWER_SECONDS, client_options, explain, reason
from events.messages import (
    MOST_VERDICTS,
    Blocked,
    Claimed,
    Heartbeat,
    Policy,
    SetLayout,
    SetPolicy,
    Unblocked,
    Verdict,
    Verdicts,
    encode,
    new_id,
)
from events.positions import Position
from events.signatures import Sealer
from events.signing_keys import KeyFile, Role
from events.topics import ATTEMPTS, BLOCKS, TOPICS, VERDICTS
from settings import Settings
from workers.decision.batch import AuditRow
from workers.partition.store import Asked

DELIVERY_MS = 10_000
"""After this long without an acknowledgement the worker claims and publishes again."""

LIFTED_SECONDS = 5.0
"""So long the brokers may take for the news that a block is lifted; then as above."""


_ROLES: dict[str, Role] = {ATTEMPTS: "policy", VERDICTS: "worker", BLOCKS: "worker"}
"""The roles by whose keys an owner signs what it publishes to each topic."""


class PublishError(Exception):
    """The brokers did not accept a published record."""


class Publisher:
    """Publishes for one partition; nothing is acknowledged before :meth:`wait` returns True.

    Methods that publish raise :class:`PublishError` where the producer fails.
    """

    def __init__(self, settings: Settings, partition: int, keys: KeyFile | None = None) -> None:
        """Without keys nothing is signed."""
        self.partition = partition
        self._topics = {name: settings.prefixed(name) for name in TOPICS}
        self._sealers = {name: Sealer(keys, topic) for name, topic in self._topics.items()}
        self._failure: str | None = None
        self._epoch = 0
        self._number = 0  # of the news in it
        self._producer = Producer(
            client_options(settings)
            | {
                "acks": "all",
                "enable.idempotence": True,
                # Records that are published while a request is under way go with the next one.
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
        self._producer.list_topics(self._topics[BLOCKS], timeout=WORKER_ANSWER_SECONDS)

    def announce(self, epoch: int, position: Position) -> None:
        """Say that the partition is claimed, before all else that is published in this epoch."""
        self._epoch = epoch
        self._produce(BLOCKS, 0, encode(Claimed(self.partition, epoch, position)))

    def publish(
        self, generation: int, rows: Sequence[AuditRow], lists: Collection[int] = ()
    ) -> None:
        """Send the verdicts of these audit rows, and the blocks that they began or ended.

        The readers of the reply partitions in ``lists`` read verdicts in lists.

        A client that is told that a block is lifted may rely on it. So those verdicts, and all that
        are sent with them, wait until the brokers have the record of it, which takes some
        milliseconds and is rare.
        """
        lifted = False
        for row in rows:
            if row.change:
                position = Position(generation, row.offset)
                message: Blocked | Unblocked = (
                    Blocked(self.partition, position, row.user, row.until_ms, self._epoch)
                    if row.change > 0
                    else Unblocked(self.partition, position, row.user, self._epoch)
                )
                self._produce(BLOCKS, 0, encode(message))
                lifted = lifted or row.change < 0
        if lifted and not self._flush(LIFTED_SECONDS):
            raise PublishError("the brokers did not take the record of a lifted block in time")
        listed: dict[int, list[Verdict]] = defaultdict(list)
        for row in rows:
            verdict = Verdict(row.id, row.user, row.decision, row.until_ms)
            if row.reply_partition in lists:
                listed[row.reply_partition].append(verdict)
            else:
                self._produce(VERDICTS, row.reply_partition, encode(verdict))
        for partition, verdicts in listed.items():
            for first in range(0, len(verdicts), MOST_VERDICTS):
                some = tuple(verdicts[first : first + MOST_VERDICTS])
                self._produce(VERDICTS, partition, encode(Verdicts(some)))
        self._producer.poll(0)

    def heartbeat(self, epoch: int, position: Position, partitions: int) -> None:
        """Publish that the owner lives, up to where it has published, and the partitions in use."""
        self._produce(BLOCKS, 0, encode(Heartbeat(self.partition, epoch, position, partitions)))
        self._producer.poll(0)

    def propose_policy(self, policy: Policy) -> None:
        """Append a policy to the partition's log, from where it is in force if it is newer."""
        message = SetPolicy(new_id(), 0, policy)
        self._produce(ATTEMPTS, self.partition, encode(message))

    def propose_layout(self, layout: int, by: Asked | None) -> None:
        """Append a layout to the partition's log, which enters it there (see `repartitioning`).

        ``by`` says who asked for it, where somebody did.
        """
        operator, reason = (by.operator, by.reason) if by else (None, None)
        message = SetLayout(new_id(), 0, layout, operator, reason)
        self._produce(ATTEMPTS, self.partition, encode(message))

    def wait(self, seconds: float) -> bool:
        """Wait up to this long; whether the brokers have acknowledged everything.

        Raises :class:`PublishError` where they refused a record.
        """
        return self._flush(seconds)

    def close(self) -> None:
        """Drop undelivered records: the next owner publishes the last batch again."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _flush(self, seconds: float) -> bool:
        undelivered = self._producer.flush(seconds)
        if self._failure is not None:
            raise PublishError(self._failure)
        return undelivered == 0

    def _produce(self, name: str, partition: int, value: bytes) -> None:
        topic = self._topics[name]
        stamp = 0
        if name == BLOCKS:
            self._number += 1
            stamp = self._number
        value = self._sealers[name].seal(_ROLES[name], value, partition, stamp=stamp)
        try:
            self._producer.produce(topic, value, partition=partition, on_delivery=self._delivered)
        except BufferError:
            self._producer.flush(DELIVERY_MS / 1000)
            self._producer.produce(topic, value, partition=partition, on_delivery=self._delivered)
        except KafkaException as error:
            raise PublishError(reason(error)) from error

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failure = explain(error)
