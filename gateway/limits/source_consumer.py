"""Follows the topic `sources` and keeps the view of sources up to date."""

from __future__ import annotations

import asyncio
import contextlib
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
from events.messages import RefusedError, UndecodableError, decode_sources
from events.signatures import Opener
from events.signing_keys import KeyFile
from events.topics import SOURCES
from gateway import metrics
from gateway.limits.source_view import WINDOW_MS, SourceView
from gateway.rate_limited_logger import RateLimitedLogger
from processes.stoppable_thread import StoppableThread
from settings import Settings

logger = structlog.get_logger()

PARTITION = 0  # the only one: all processes count in one order
RETRY_SECONDS = 2.0  # until what failed is tried again
CLOCK_SECONDS = 0.2  # between looks whether the brokers' time is known

_ANOTHER_LOG = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
}
"""Errors after which the topic that comes back may be another one."""

AT_ONCE = 100
"""Records between two looks at the clock."""


class SourceConsumer:
    """A thread that reads what was told within the window, and then what is told.

    While it cannot, nothing stands against any source.
    """

    def __init__(
        self,
        settings: Settings,
        view: SourceView,
        clock_ms: Callable[[], int | None],
        keys: KeyFile | None = None,
    ) -> None:
        """`clock_ms` is what the brokers' clock shows at least, None before any news of it.

        It is called in the thread. Without keys, any record is believed.
        """
        self._settings = settings
        self._topic = settings.prefixed(SOURCES)
        self._opener = Opener(
            keys,
            self._topic,
            settings.unsigned_until_ms,
            signature_metrics.UNSIGNED.labels(SOURCES).inc,
        )
        self._view = view
        self._clock_ms = clock_ms
        self._away = ""  # why what was read so far is not to be continued
        self._logger = RateLimitedLogger()
        self._thread = StoppableThread("source consumer", self._run)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def close(self) -> None:
        """Stop reading."""
        await asyncio.to_thread(self._thread.stop, 1.0)

    def _run(self) -> None:
        while not self._thread.stopping.is_set():
            now_ms = self._clock_ms()
            if now_ms is None:  # without workers there are no logins to limit
                self._thread.stopping.wait(CLOCK_SECONDS)
                continue
            try:
                self._follow(now_ms - WINDOW_MS)
            except KafkaException as error:
                self._logger.warning("Nothing is known of sources", reason=reason(error))
            except Exception:
                logger.exception("Nothing is known of sources after an unexpected error")
            finally:
                self._view.live = False
            self._thread.stopping.wait(RETRY_SECONDS)

    def _follow(self, from_ms: int) -> None:
        self._away = ""
        consumer = assigned_consumer(
            self._settings,
            {
                "log_level": QUIET_LOG_LEVEL,
                "error_cb": self._on_error,
                # The topic is there by now: where it is missing later, it was deleted.
                "topic.metadata.propagation.max.ms": 0,
            },
        )
        try:
            end = end_offset(consumer, self._topic, PARTITION)
            position = self._begin(consumer, from_ms, end)
            self._view.clear()
            consumer.assign([TopicPartition(self._topic, PARTITION, position)])
            while not self._thread.stopping.is_set():
                messages = read_batch(consumer, AT_ONCE)
                if self._away:
                    raise KafkaException(self._away)
                for message in messages:
                    self._take(message)
                    position = (message.offset() or 0) + 1
                self._view.forget(self._clock_ms() or 0)
                self._view.live = position >= end
        finally:
            consumer.close()

    def _begin(self, consumer: Consumer, from_ms: int, end: int) -> int:
        """The offset of the first record that was appended then or later; or the end."""
        begin = TopicPartition(self._topic, PARTITION, max(0, from_ms))
        (found,) = consumer.offsets_for_times([begin], timeout=ANSWER_SECONDS)
        if found.error is not None:
            raise KafkaException(found.error)
        return found.offset if found.offset >= 0 else end

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        _, appended_ms = message.timestamp()
        try:
            self._view.read(decode_sources(self._opener.open_record(message)).outcomes, appended_ms)
        except RefusedError as bad:
            signature_metrics.REFUSED.labels(SOURCES, bad.why).inc()
            self._logger.warning(
                "A record on sources is not believed", offset=message.offset(), reason=str(bad)
            )
        except UndecodableError as bad:
            metrics.UNDECODABLE.labels(SOURCES).inc()
            self._logger.warning(
                "A record on sources cannot be read", offset=message.offset(), reason=str(bad)
            )

    def _on_error(self, error: KafkaError) -> None:
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            self._logger.warning("Kafka's consumer of sources reports", reason=explain(error))
        if error.code() in _ANOTHER_LOG:
            self._away = error.str()
