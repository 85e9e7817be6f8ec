"""Delivers to all webhooks, each in a thread of its own, so that a slow one delays no other.

A receiver gets its events one after the other: none overtakes another one of its account. One that
cannot be reached, or fails, is tried again for a day, one that refuses an event some times. Then it
is a dead letter, and the next one has its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from sql.connection import Limits, connection_options
from workers import metrics
from workers.relay import webhooks
from workers.relay.posting import Outcome, post
from workers.relay.webhooks import Delivery, Webhook

LONGEST_WAIT_SECONDS = 60.0
"""Between two tries: so soon a receiver has its events that has come back."""

GIVE_UP_SECONDS = 86_400.0
"""After so long an event is a dead letter, and the next one is tried."""

REFUSALS = 5
"""Or after so many refusals by a receiver that is there."""

LOOK_SECONDS = 1.0
"""Between two looks for what a command changed."""

STATEMENT_MS = 10_000

logger = structlog.get_logger()


class Deliveries:
    """Delivers while :meth:`look` is called. Its threads share a connection.

    Looks have another one: a leader may not wait for what a courier waits for.
    """

    def __init__(self, database_url: str, beat: Callable[[], object] = lambda: None) -> None:
        """`beat` is called between two connections that take long. Raises ``psycopg.Error``."""
        self._connection = _connect(database_url, "webhooks")
        beat()
        self._looks = _connect(database_url, "look at webhooks")
        self._couriers: dict[Webhook, _Courier] = {}

    def look(self) -> None:
        """Begin with new webhooks, and end with those that are gone. Raises ``psycopg.Error``."""
        wanted = set(webhooks.all_webhooks(self._looks))
        for webhook in self._couriers.keys() - wanted:
            self._couriers.pop(webhook).stop()
        for webhook in wanted - self._couriers.keys():
            self._couriers[webhook] = _Courier(self._connection, webhook)
        for courier in self._couriers.values():
            courier.check()

    def wake(self) -> None:
        """There is something new."""
        for courier in self._couriers.values():
            courier.wake()

    def close(self) -> None:
        """Begin with nothing more. What is under way may be posted again."""
        for courier in self._couriers.values():
            courier.stop()
        # Between two statements: libpq would go on in memory that the next connection may have.
        with self._connection.lock:
            self._connection.close()
        self._looks.close()


def _connect(database_url: str, name: str) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = psycopg.connect(
        database_url, autocommit=True, **connection_options(name)
    )
    Limits(statement_ms=STATEMENT_MS).set(connection)
    return connection


class _Courier:
    """The thread of one webhook."""

    def __init__(self, connection: psycopg.Connection[Any], webhook: Webhook) -> None:
        self._connection = connection
        self._webhook = webhook
        self._wake = threading.Event()
        self._stopping = False
        self._failure: Exception | None = None
        threading.Thread(target=self._run, name=f"webhook {webhook.name}", daemon=True).start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def check(self) -> None:
        """Raise what has ended the thread."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait(self._deliver())
                self._wake.clear()
        except Exception as error:  # `check` raises it
            self._failure = error

    def _deliver(self) -> float:
        """Post what is due; the seconds until something else may be."""
        while not self._stopping:
            delivery = webhooks.next_delivery(self._connection, self._webhook.name)
            if delivery is None:
                break
            if delivery.wait_seconds > 0:
                return min(delivery.wait_seconds, LOOK_SECONDS)
            outcome = post(self._webhook, delivery)
            if self._stopping:
                break
            if outcome.why is None:
                webhooks.delivered(self._connection, delivery.number)
                metrics.DELIVERIES.labels("delivered").inc()
            else:
                self._note_failure(delivery, outcome)
        return LOOK_SECONDS

    def _note_failure(self, delivery: Delivery, outcome: Outcome) -> None:
        dead = webhooks.failed(
            self._connection,
            delivery.number,
            outcome.why or "",
            outcome.refused,
            wait_seconds=min(LONGEST_WAIT_SECONDS, 2.0 ** min(delivery.tries, 10)),
            most_seconds=GIVE_UP_SECONDS,
            most_refusals=REFUSALS,
        )
        metrics.DELIVERIES.labels("dead" if dead else "failed").inc()
        if dead:
            logger.error(
                "An event is a dead letter; `cerrojo webhooks resend` sends it again",
                webhook=self._webhook.name,
                event_id=delivery.event_id,
                why=outcome.why,
            )
        elif not delivery.tries:
            logger.warning(
                "A webhook fails; its events wait",
                webhook=self._webhook.name,
                event_id=delivery.event_id,
                why=outcome.why,
            )
