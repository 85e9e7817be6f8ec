"""Hears the verdicts on this process's reply partition."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from events.messages import VERDICT_PARTITIONS, UndecodableError, Verdict, decode_verdict
from events.topics import VERDICTS
from gateway import metrics
from gateway.kafka import TIMEOUT, end_offset, open_consumer, read, reason
from gateway.logs import Sparse
from settings import Settings

log = structlog.get_logger()

AGAIN = 0.5  # seconds until a vain attempt is repeated


class Replies:
    """A thread that hands over verdicts, batch by batch.

    `on_ready` and `on_verdicts` are called in that thread.
    """

    def __init__(
        self,
        settings: Settings,
        on_ready: Callable[[int], None],
        on_verdicts: Callable[[list[Verdict]], None],
    ) -> None:
        """`on_ready` hears the number of the reply partition once nothing can be missed."""
        self._settings = settings
        self._on_ready = on_ready
        self._on_verdicts = on_verdicts
        self._stopping = threading.Event()
        self._log = Sparse()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            # A new one each time: an old one may hold on to a topic that was made anew.
            consumer = open_consumer(self._settings, self._report)
            try:
                self._listen(consumer)
            except KafkaException as error:
                self._log.warning("The verdicts cannot be heard", reason=reason(error))
                self._stopping.wait(AGAIN)
            except Exception:
                log.exception("The verdicts cannot be heard, and nobody expected why")
                self._stopping.wait(AGAIN)
            finally:
                consumer.close()

    def _listen(self, consumer: Consumer) -> None:
        known = consumer.list_topics(VERDICTS, timeout=TIMEOUT).topics[VERDICTS].partitions
        if not known:
            raise KafkaException(f"There is no topic {VERDICTS}; `python -m events` makes it")
        usable = [number for number in known if number < VERDICT_PARTITIONS]
        partition = random.choice(usable)  # noqa: S311  # no secret
        end = end_offset(consumer, VERDICTS, partition)
        consumer.assign([TopicPartition(VERDICTS, partition, end)])
        self._on_ready(partition)
        while not self._stopping.is_set():
            verdicts = []
            for message in read(consumer):
                if (error := message.error()) is not None:
                    # As when the topic is made anew. The answers that are lost by it are
                    # 503 when it is time.
                    raise KafkaException(error)
                verdicts += self._decode(message)
            if verdicts:
                self._on_verdicts(verdicts)

    def _report(self, error: KafkaError) -> None:
        self._log.warning("Kafka's consumer of verdicts reports", reason=error.str())

    def _decode(self, message: Message) -> list[Verdict]:
        try:
            return [decode_verdict(message.value())]
        except UndecodableError as error:
            metrics.UNDECODABLE.labels(VERDICTS).inc()
            self._log.warning(
                "A verdict cannot be read", offset=message.offset(), reason=str(error)
            )
            return []
