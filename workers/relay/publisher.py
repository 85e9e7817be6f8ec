"""Publishes events to the topic `events`, keyed by account."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.clients import client_options, explain, reason
from events.topics import EVENTS
from settings import Settings
from workers.relay.event import AnyEvent, encode, key_of

LOOK_SECONDS = 0.25
"""Between two calls of ``meanwhile`` while the brokers do not answer."""


class PublishError(Exception):
    """The brokers refused an event."""


class EventPublisher:
    """One producer, for as long as its process leads."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.prefixed(EVENTS)
        self._failure: str | None = None
        self._producer = Producer(
            client_options(settings)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                # No event is given up: the next one of its account would be there before it.
                "message.timeout.ms": 0,
                "max.in.flight.requests.per.connection": 1,
                "partitioner": "murmur2_random",  # as other clients choose by a key
                "delivery.report.only.error": True,
            }
        )

    def publish(self, events: Sequence[AnyEvent], meanwhile: Callable[[], object]) -> None:
        """Return when the brokers have all of them, however long that takes.

        ``meanwhile`` is called again and again, and ends the wait by an exception of its own.
        Raises :class:`PublishError` where they refuse one, after which this must be closed.
        """
        for event in events:
            key = key_of(event)
            try:
                self._producer.produce(
                    self._topic,
                    encode(event),
                    key=key.encode() if key else None,
                    on_delivery=self._delivered,
                )
            except (BufferError, KafkaException) as error:
                raise PublishError(reason(error)) from error
        while self._producer.flush(LOOK_SECONDS):
            meanwhile()
        if self._failure is not None:
            raise PublishError(self._failure)

    def close(self) -> None:
        """Drop what the brokers do not have; it is published again."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failure = explain(error)
