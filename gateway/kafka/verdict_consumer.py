"""Consumes the verdicts on this process's reply partition."""

from __future__ import annotations

import random
from collections.abc import Callable

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from events import signature_metrics
from events.clients import (
    ANSWER_SECONDS,
    QUIET_LOG_LEVEL,
    assigned_consumer,
    end_offset,
    explain,
    read_batch,
    reason,
)
from events.messages import (
    VERDICT_PARTITIONS,
    RefusedError,
    UndecodableError,
    Verdict,
    decode_verdicts,
)
from events.signatures import Opener
from events.signing_keys import KeyFile
from events.topics import VERDICTS
from gateway import metrics
from gateway.rate_limited_logger import RateLimitedLogger
from processes.stoppable_thread import StoppableThread
from settings import Settings

logger = structlog.get_logger()

RETRY_SECONDS = 0.5  # until a failed start is repeated


class VerdictConsumer:
    """A thread that hands over verdicts, batch by batch.

    `on_ready` and `on_verdicts` are called in that thread.
    """

    def __init__(
        self,
        settings: Settings,
        on_ready: Callable[[int], None],
        on_verdicts: Callable[[list[Verdict]], None],
        keys: KeyFile | None = None,
    ) -> None:
        """`on_ready` gets the number of the reply partition once no verdict can be missed.

        Without keys, any verdict is believed.
        """
        self._opener = Opener(
            keys,
            settings.prefixed(VERDICTS),
            settings.unsigned_until_ms,
            signature_metrics.UNSIGNED.labels(VERDICTS).inc,
        )
        self._settings = settings
        self._on_ready = on_ready
        self._on_verdicts = on_verdicts
        self._logger = RateLimitedLogger()
        self._thread = StoppableThread("verdict consumer", self._run)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def close(self) -> None:
        """Stop consuming."""
        self._thread.stop(1.0)

    def _run(self) -> None:
        while not self._thread.stopping.is_set():
            try:
                self._listen()
            except KafkaException as error:
                self._logger.warning("The verdicts cannot be received", reason=reason(error))
                self._thread.stopping.wait(RETRY_SECONDS)
            except Exception:
                logger.exception("The verdicts cannot be received, for an unexpected reason")
                self._thread.stopping.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        # A new one each time: an old one may hold on to a topic that was made anew.
        consumer = assigned_consumer(
            self._settings, {"log_level": QUIET_LOG_LEVEL, "error_cb": self._report}
        )
        try:
            self._follow(consumer)
        finally:
            consumer.close()

    def _follow(self, consumer: Consumer) -> None:
        topic = self._settings.prefixed(VERDICTS)
        known = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        if not known:
            raise KafkaException(f"There is no topic {topic}; `python -m events` makes it")
        usable = [number for number in known if number < VERDICT_PARTITIONS]
        partition = random.choice(usable)  # noqa: S311  # no secret
        end = end_offset(consumer, topic, partition)
        consumer.assign([TopicPartition(topic, partition, end)])
        self._on_ready(partition)
        while not self._thread.stopping.is_set():
            verdicts: list[Verdict] = []
            for message in read_batch(consumer):
                if (error := message.error()) is not None:
                    # As when the topic is made anew. Requests whose verdicts are lost get 503
                    # at their deadline.
                    raise KafkaException(error)
                verdicts += self._decode(message)
            if verdicts:
                self._on_verdicts(verdicts)

    def _report(self, error: KafkaError) -> None:
        self._logger.warning("Kafka's consumer of verdicts reports", reason=explain(error))

    def _decode(self, message: Message) -> tuple[Verdict, ...]:
        try:
            return decode_verdicts(self._opener.open_record(message))
        except RefusedError as error:
            signature_metrics.REFUSED.labels(VERDICTS, error.why).inc()
            self._logger.warning(
                "A verdict is not believed", offset=message.offset(), reason=str(error)
            )
        except UndecodableError as error:
            metrics.UNDECODABLE.labels(VERDICTS).inc()
            self._logger.warning(
                "A verdict cannot be read", offset=message.offset(), reason=str(error)
            )
        return ()
