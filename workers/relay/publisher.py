"""Publishes events to the topic `events`, keyed by account."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.clients import client_options, explain, reason
from events.topics import EVENTS
from settings import Settings
from workers.relay.event import AnyEvent, encode, key_of

LOOK_SECONDS = 0.25
"""Between two calls of ``meanwhile`` while the brokers do not answer."""

GIVE_UP_SECONDS = 15.0
"""Brokers that take nothing for as long may be out of this host's reach alone. It is longer than an
election."""


class PublishError(Exception):
    """The brokers refused an event, or this host does not reach them."""


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
        """Return when the brokers have all of them.

        ``meanwhile`` is called again and again, and ends the wait by an exception of its own.
        Raises :class:`PublishError` where they refuse one or take none for 15 s, after which this
        must be closed.
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
        left, moved_at = len(events), time.monotonic()
        while now_left := self._producer.flush(LOOK_SECONDS):
            if now_left < left:
                left, moved_at = now_left, time.monotonic()
            elif time.monotonic() >= moved_at + GIVE_UP_SECONDS:
                raise PublishError(
                    f"the brokers have taken no event for {GIVE_UP_SECONDS:g} s; if another host "
                    "reaches them, it publishes from now on"
                )
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
