"""Follows the topic `blocks` and keeps the blocklist up to date."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import psycopg
import structlog
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from events import signature_metrics
from events.clients import (
    QUIET_LOG_LEVEL,
    assigned_consumer,
    end_offset,
    explain,
    read_batch,
    reason,
)
from events.messages import BlocksMessage, RefusedError, UndecodableError, decode_blocks
from events.signatures import Opener
from events.signing_keys import KeyFile
from events.topics import BLOCKS
from gateway import metrics
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot, ReadRecord
from gateway.blocklist.copies import NewsCopies
from gateway.blocklist.end_watcher import EndWatcher
from gateway.blocklist.snapshot import NoTopologyError, load_partitions, load_snapshot
from gateway.rate_limited_logger import RateLimitedLogger
from processes.stoppable_thread import StoppableThread
from settings import Settings

logger = structlog.get_logger()

PARTITION = 0  # the only one, so that all records are in one order
RETRY_SECONDS = 0.5  # until another load, or as long as the last one took ...

MOST_RETRY_SECONDS = 10.0
"""... up to so long: a process that stood still while it loaded must not wait as long again."""

CONFIRM_SECONDS = 0.1
"""Between two questions how many partitions are in use, whatever somebody writes to the topic."""


class BlocklistGapError(Exception):
    """Records may have been missed, so the blocklist has to be loaded anew."""


class BlocklistConsumer:
    """A thread that reads records and applies them to the blocklist in the event loop's thread.

    A second one keeps asking where the topic ends, by which it is known how current that is.
    """

    def __init__(
        self, settings: Settings, blocklist: Blocklist, keys: KeyFile | None = None
    ) -> None:
        """Without keys, any record is believed."""
        self._settings = settings
        self._topic = settings.prefixed(BLOCKS)
        self._opener = Opener(
            keys,
            self._topic,
            settings.unsigned_until_ms,
            signature_metrics.UNSIGNED.labels(BLOCKS).inc,
        )
        self._blocklist = blocklist
        self._loop = asyncio.get_running_loop()
        self._gap = ""  # why what was read so far is not to be continued
        self._load_seconds = 0.0
        self._partitions_unconfirmed = False
        self._confirm_at = 0.0
        self._copies = NewsCopies()
        self._logger = RateLimitedLogger()
        self._thread = StoppableThread("blocklist consumer", self._run)
        self._end_watcher = EndWatcher(
            settings, self._topic, PARTITION, lambda *end: self._soon(self._ended, *end)
        )
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the blocklist is loaded and has all records up to that moment."""

    def start(self) -> None:
        """Begin to load and to follow."""
        self._thread.start()
        self._end_watcher.start()

    async def close(self) -> None:
        """Stop following."""
        await asyncio.gather(
            asyncio.to_thread(self._thread.stop, 1.0),
            asyncio.to_thread(self._end_watcher.stop, 1.0),
        )

    def _run(self) -> None:
        while not self._thread.stopping.is_set():
            try:
                self._follow()
            except KafkaException as error:
                self._logger.warning("The blocklist is loaded anew", reason=reason(error))
            except (BlocklistGapError, psycopg.Error, NoTopologyError) as error:
                self._logger.warning("The blocklist is loaded anew", reason=str(error).strip())
            except Exception:
                logger.exception("The blocklist is loaded anew after an unexpected error")
            # Whatever somebody writes to the topic, half of the time is not spent on loading.
            self._thread.stopping.wait(
                min(MOST_RETRY_SECONDS, max(RETRY_SECONDS, self._load_seconds))
            )

    def _follow(self) -> None:
        self._gap = ""
        consumer = assigned_consumer(
            self._settings,
            {"log_level": QUIET_LOG_LEVEL, "error_cb": self._on_error},
        )
        try:
            start = end_offset(consumer, self._topic, PARTITION)
            self._load(start)
            caught_up = end_offset(consumer, self._topic, PARTITION)
            consumer.assign([TopicPartition(self._topic, PARTITION, start)])
            position = start
            while not self._thread.stopping.is_set():
                messages = read_batch(consumer)
                if messages:
                    self._take(messages)
                    position = (messages[-1].offset() or 0) + 1
                if self._gap:
                    raise BlocklistGapError(self._gap)
                if self._partitions_unconfirmed:
                    self._confirm_partitions()
                if position >= caught_up and not self.ready.done():
                    self._soon(self._get_ready)
        finally:
            consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        self._logger.warning("Kafka's consumer of blocks reports", reason=explain(error))
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._gap = "Kafka was away"  # what comes back may be another log

    def _load(self, start: int) -> None:
        started = time.monotonic()
        snapshot = load_snapshot(self._settings.require_database())
        self._load_seconds = time.monotonic() - started
        logger.info(
            "The blocklist is loaded",
            blocks=len(snapshot.blocks),
            partitions=snapshot.partitions,
            seconds=round(self._load_seconds, 3),
        )
        self._soon(self._begin, snapshot, start, time.monotonic())

    def _confirm_partitions(self) -> None:
        if time.monotonic() < self._confirm_at:
            return
        self._partitions_unconfirmed = False
        with contextlib.suppress(
            psycopg.Error, NoTopologyError
        ):  # the next heartbeat says the same
            partitions = load_partitions(self._settings.require_database())
            self._soon(self._blocklist.use, partitions)
        self._confirm_at = time.monotonic() + CONFIRM_SECONDS

    def _take(self, messages: list[Message]) -> None:
        now = time.monotonic()
        records = []
        for message in messages:
            error = message.error()
            if error is not None:
                raise BlocklistGapError(error.str())
            kind, ms = message.timestamp()
            appended_ms = ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
            records.append(ReadRecord(message.offset() or 0, appended_ms, self._decode(message)))
        self._soon(self._read, records, now)

    def _decode(self, message: Message) -> BlocksMessage | None:
        try:
            body, role, number = self._opener.check(
                PARTITION, message.key(), message.value(), message.timestamp()[1]
            )
            news = decode_blocks(body)
            if role is not None and self._copies.is_copy(news, number):
                raise RefusedError("copy", "it was there before, and somebody appended it again")
            return news
        except RefusedError as bad:
            signature_metrics.REFUSED.labels(BLOCKS, bad.why).inc()
            self._logger.warning(
                "A record on blocks is not believed", offset=message.offset(), reason=str(bad)
            )
        except UndecodableError as bad:
            metrics.UNDECODABLE.labels(BLOCKS).inc()
            self._logger.warning(
                "A record on blocks cannot be read", offset=message.offset(), reason=str(bad)
            )
        return None

    # In the event loop's thread:

    def _begin(self, snapshot: BlocklistSnapshot, start: int, now: float) -> None:
        self._blocklist.load(snapshot)
        self._blocklist.ends.restart(start, now)

    def _read(self, records: list[ReadRecord], now: float) -> None:
        self._blocklist.read(records, now)
        self._gap = self._gap or self._blocklist.doubt
        self._partitions_unconfirmed = self._blocklist.unconfirmed_partitions > 0

    def _ended(self, end: int, asked: float) -> None:
        ends = self._blocklist.ends
        ends.ended(end, asked)
        if ends.shrunk:
            self._gap = self._gap or "the topic is another one, or has lost its end"

    def _get_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(call, *arguments)
