"""Writes to `attempts` and `sources`: one producer, its poll thread, and its replacement."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.clients import QUIET_LOG_LEVEL, client_options, explain
from events.topics import ATTEMPTS, SOURCES
from gateway.errors import NoPartitionError, OverloadedError, UnavailableError
from gateway.rate_limited_logger import RateLimitedLogger
from processes.stoppable_thread import StoppableThread
from settings import Settings

logger = structlog.get_logger()

QUEUE = 10_000
"""Messages that may wait for a broker; far more than requests can be in flight."""

MOST_DELIVERY_MS = 15_000
"""A record is given up after this long, whatever the deadline: no worker believes one that gets
into the log much later than it was signed (`events.signatures.LATE_MS`)."""

POLL_SECONDS = 0.2

GATHER_SECONDS = 0.01  # between looks at delivery reports


class AttemptProducer:
    """Writes records to the log; `write` returns at once."""

    def __init__(self, settings: Settings, on_replaced: Callable[[], None]) -> None:
        """`on_replaced` is called, in another thread, when written records may be lost."""
        self._settings = settings
        self._topic = settings.prefixed(ATTEMPTS)
        self._sources = settings.prefixed(SOURCES)
        self._on_replaced = on_replaced
        self._fatal = threading.Event()
        self._logger = RateLimitedLogger()
        self._producer = self._build()
        self._thread = StoppableThread("attempt producer", self._poll)

    def start(self) -> None:
        """Begin to poll for delivery reports."""
        self._thread.start()

    def write(
        self,
        partition: int,
        key: bytes | None,
        value: bytes,
        on_failure: Callable[[str], None],
    ) -> None:
        """Write a record; `on_failure` gets the reason, in another thread, if it was not written.

        Raises OverloadedError, NoPartitionError or UnavailableError where it cannot even be tried.
        """

        self._produce(self._topic, partition, key, value, on_failure)

    def report(self, value: bytes) -> None:
        """Write a record to `sources`; nobody waits for it, or hears if it was not written.

        Raises OverloadedError or UnavailableError where it cannot even be tried.
        """
        self._produce(self._sources, 0, None, value, lambda _: None)

    def _produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        on_failure: Callable[[str], None],
    ) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:  # always so: other reports are not asked for
                on_failure(error.str())

        try:
            self._producer.produce(topic, value, key, partition=partition, on_delivery=delivered)
        except BufferError:
            raise OverloadedError("Too much waits for Kafka; try again later") from None
        except KafkaException as error:
            self._note(error.args[0])
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                raise NoPartitionError("Nobody can decide about this account yet") from error
            raise UnavailableError("Kafka is not available; try again later") from error

    def __len__(self) -> int:
        """The number of records that no broker has acknowledged yet."""
        return len(self._producer)

    def reach(self, seconds: float) -> None:
        """Ask a broker anything; KafkaException where none answers in time. Blocks."""
        self._producer.list_topics(self._topic, timeout=seconds)

    def close(self, seconds: float) -> None:
        """Write the waiting records, as far as this time allows, and stop."""
        self._producer.flush(seconds)
        self._thread.stop(2 * POLL_SECONDS)

    def _build(self) -> Producer:
        # A record that is not written by then is given up. The time counts from its place in the
        # queue on, so some are written after their requests were answered with 503.
        delivery = max(100, min(MOST_DELIVERY_MS, int(self._settings.deadline_seconds * 900)))
        return Producer(
            {
                **client_options(self._settings),
                "log_level": QUIET_LOG_LEVEL,
                "acks": "all",
                # Sent once, so that nothing is written long after its 503. librdkafka's idempotence
                # does not help: after a late delivery it begins a new epoch and sends the
                # unanswered records again, which no broker recognises. Without it, too, a new
                # leader may get a record that the former one has written [measured: both, with a
                # frozen broker]. The worker recognises repetitions by their id.
                "retries": 0,
                # While one request is in flight the next records gather. A lone record does not
                # wait for others.
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 0,
                "delivery.report.only.error": True,
                "delivery.timeout.ms": delivery,
                "queue.buffering.max.messages": QUEUE,
                # Added partitions are used some seconds later.
                "topic.metadata.refresh.interval.ms": 1_000,
                "error_cb": self._note,
            }
        )

    def _note(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal.set()
        self._logger.warning("Kafka's producer reports", reason=explain(error))

    def _poll(self) -> None:
        while not self._thread.stopping.is_set():
            try:
                self._producer.poll(POLL_SECONDS)
            except KafkaException as error:
                self._note(error.args[0])
            if self._fatal.is_set():
                self._replace()
            self._thread.stopping.wait(GATHER_SECONDS)  # neither success nor failure is in a hurry

    def _replace(self) -> None:
        logger.error("Kafka's producer failed for good and is replaced by a new one")
        old, self._producer = self._producer, self._build()
        self._fatal.clear()
        self._on_replaced()
        old.purge()
