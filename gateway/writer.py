"""Writes to `attempts`: one producer, its poll thread, and its replacement when it is fatal."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.topics import ATTEMPTS
from gateway.errors import NoPartitionError, OverloadedError, UnavailableError
from gateway.kafka import client_config
from gateway.logs import Sparse
from settings import Settings

log = structlog.get_logger()

QUEUE = 10_000
"""Messages that may wait for a broker; far more than there can be requests in flight."""

POLL = 0.2  # seconds

GATHER = 0.01  # seconds between looks at what became of records


class Writer:
    """Puts records into the log; all methods return at once."""

    def __init__(self, settings: Settings, on_replaced: Callable[[], None]) -> None:
        """`on_replaced` is called, in another thread, when what was written may be lost."""
        self._settings = settings
        self._on_replaced = on_replaced
        self._fatal = threading.Event()
        self._stopping = threading.Event()
        self._log = Sparse()
        self._producer = self._build()
        self._thread = threading.Thread(target=self._poll, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to hand out acknowledgements."""
        self._thread.start()

    def write(
        self, partition: int, key: str, value: bytes, on_failure: Callable[[str], None]
    ) -> None:
        """Write a record; `on_failure` hears, in another thread, why it was not written.

        Raises OverloadedError, NoPartitionError or UnavailableError where it cannot even be tried.
        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:  # always, as we ask for no other reports
                on_failure(error.str())

        try:
            self._producer.produce(
                ATTEMPTS, value, key.encode(), partition=partition, on_delivery=delivered
            )
        except BufferError:
            raise OverloadedError("Too much waits for Kafka; try again later") from None
        except KafkaException as error:
            self._note(error.args[0])
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                raise NoPartitionError("Nobody can decide about this account yet") from error
            raise UnavailableError("Kafka is not available; try again later") from error

    def __len__(self) -> int:
        """How many records no broker has acknowledged yet."""
        return len(self._producer)

    def reach(self, seconds: float) -> None:
        """Ask a broker anything; KafkaException where none answers in time. Blocks."""
        self._producer.list_topics(ATTEMPTS, timeout=seconds)

    def close(self, seconds: float) -> None:
        """Write what waits, as far as this time allows, and stop."""
        self._producer.flush(seconds)
        self._stopping.set()
        self._thread.join(2 * POLL)

    def _build(self) -> Producer:
        # What is not written by then is given up. That counts from its place in the queue on, so
        # some may be written after their requests were answered with 503.
        delivery = max(100, int(self._settings.deadline_seconds * 900))
        return Producer(
            {
                **client_config(self._settings),
                "acks": "all",
                # Sent once, so that nothing is written long after its 503. librdkafka's idempotence
                # is of no use here: when a delivery is late it begins a new epoch, sends again
                # what it has no answer for, and no broker knows it any more. Without it, too, a
                # new leader may be given what the former one has written [measured: both, with a
                # broker that froze]; the worker knows that by the id (see `workers.repetition`).
                "retries": 0,
                # While one request is under way the next records gather: as many as come in
                # that time, and nobody waits for more where nobody else is.
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 0,
                "delivery.report.only.error": True,
                "delivery.timeout.ms": delivery,
                "queue.buffering.max.messages": QUEUE,
                # Partitions that were added are used some seconds later.
                "topic.metadata.refresh.interval.ms": 1_000,
                "error_cb": self._note,
            }
        )

    def _note(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal.set()
        self._log.warning("Kafka's producer reports", reason=error.str())

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(POLL)
            except KafkaException as error:
                self._note(error.args[0])
            if self._fatal.is_set():
                self._replace()
            self._stopping.wait(GATHER)  # what is well needs no hurry, nor do failures

    def _replace(self) -> None:
        log.error("Kafka's producer is of no use any more and is replaced by a new one")
        old, self._producer = self._producer, self._build()
        self._fatal.clear()
        self._on_replaced()
        old.purge()
