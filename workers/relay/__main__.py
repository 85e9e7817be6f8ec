"""`python -m workers.relay`: the process that publishes events, where its host is the one to do it.

The supervisor of each host keeps one. One of them leads; the others look four times a second
whether they can.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import ExitStack

import psycopg
import structlog
from confluent_kafka import KafkaException

import settings
from events.clients import reason
from processes import gc_tuning, manager_link
from processes.logs import configure
from processes.metrics import use_slot
from processes.titles import title

POLL_SECONDS = 0.25
"""Between two looks for something new, and whether this process can lead."""

RETRY_SECONDS = 1.0
"""After a failure of Kafka or Postgres."""

LOOK_SECONDS = 1.0
"""Between two looks at the webhooks, and how far the events are behind."""

SAID_SECONDS = 5.0
"""Brokers that are waited for as long are a failure that the log names."""

GRACE_SECONDS = 2.0
"""To end after the supervisor is dead."""


class StoppedError(Exception):
    """This process is to end, while it waits for Kafka."""


logger = structlog.get_logger()


class Outage:
    """Has the log say once that events wait, however long they do."""

    def __init__(self) -> None:
        self._said = False

    def say(self, why: str) -> None:
        """Kafka or Postgres failed."""
        if not self._said:
            logger.warning("Events wait: Kafka or Postgres failed", error=why)
        self._said = True

    def over(self) -> None:
        """Everything works; the next failure is another one."""
        self._said = False


def main() -> int:
    """Publish events until SIGTERM; return the exit code."""
    title("relay")
    use_slot("relay")
    config = settings.load()
    configure(config.log_level, config.log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    manager_link().watch(GRACE_SECONDS)
    from workers.relay.publisher import PublishError

    gc_tuning.settle()
    manager_link().ready()
    outage = Outage()
    while not stop.is_set():
        try:
            _relay(config, stop, outage)
        except StoppedError:
            break
        except (psycopg.Error, KafkaException, PublishError) as error:
            outage.say(reason(error))
            _wait(stop, RETRY_SECONDS)
    return 0


def _relay(config: settings.Settings, stop: threading.Event, outage: Outage) -> None:
    """Wait for the lead, then publish until `stop` is set."""
    from workers import metrics  # these define metrics, which must know their slot
    from workers.relay.delivery import Deliveries
    from workers.relay.journal import Journal
    from workers.relay.publisher import EventPublisher
    from workers.relay.relay import Relay, lag_seconds
    from workers.relay.shadow import ShadowCounter

    relay: Relay | None = None
    look_at = 0.0

    def look() -> None:
        nonlocal look_at
        if time.monotonic() < look_at:
            return
        look_at = time.monotonic() + LOOK_SECONDS
        metrics.EVENTS_LAG.set(lag_seconds(journal))
        lag, dead = journal.webhooks_behind()
        metrics.WEBHOOK_LAG.set(lag)
        metrics.DEAD_LETTERS.set(dead)
        if relay is not None:
            deliveries.look()

    def alive() -> None:
        manager_link().beat()
        if stop.is_set():
            raise StoppedError
        if time.monotonic() >= began + SAID_SECONDS:
            outage.say("the brokers do not answer")
        look()

    with ExitStack() as closing:
        journal = Journal(config.require_database(), manager_link().beat)
        closing.callback(journal.close)
        closing.callback(metrics.EVENTS_LEADS.set, 0)
        manager_link().beat()
        # Before it leads: to connect may take longer than a leader may say nothing.
        deliveries = Deliveries(config.require_database(), manager_link().beat)
        closing.callback(deliveries.close)
        while not stop.is_set():
            manager_link().beat()
            if relay is None and journal.lead():
                publisher = EventPublisher(config)
                closing.callback(publisher.close)
                closing.callback(ShadowCounter(config.require_database()).close)
                relay = Relay(journal, publisher, deliveries, alive)
                metrics.EVENTS_LEADS.set(1)
                logger.info("This host publishes the events")
            look()
            began = time.monotonic()
            more = relay is not None and relay.step()
            outage.over()
            if not more:
                _wait(stop, POLL_SECONDS)


def _wait(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)
    manager_link().beat()


if __name__ == "__main__":
    sys.exit(main())
