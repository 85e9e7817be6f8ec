"""Follows `blocks` and keeps the view at its state."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from events.messages import BlocksMessage, UndecodableError, decode_blocks
from events.topics import BLOCKS
from gateway import metrics
from gateway.kafka import end_offset, open_consumer, read, reason
from gateway.logs import Sparse
from gateway.snapshots import NoTopologyError, load_snapshot
from gateway.view import View
from settings import Settings

log = structlog.get_logger()

PARTITION = 0  # the only one: all news are in one order
AGAIN = 0.5  # seconds until a vain attempt is repeated


class NewsLostError(Exception):
    """Something may have been missed, so the view has to be loaded anew."""


class News:
    """A thread that reads, and hands everything to the view in the event loop's thread."""

    def __init__(self, settings: Settings, view: View) -> None:
        self._settings = settings
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._down = threading.Event()  # all brokers: who knows what comes back
        self._log = Sparse()
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the view has been loaded and knows all news up to that moment."""

    def start(self) -> None:
        """Begin to load and to follow."""
        self._thread.start()

    async def close(self) -> None:
        """Stop following."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, 1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except KafkaException as error:
                self._log.warning("The view has to be loaded anew", reason=reason(error))
            except (NewsLostError, psycopg.Error, NoTopologyError) as error:
                self._log.warning("The view has to be loaded anew", reason=str(error).strip())
            except Exception:
                log.exception("The view has to be loaded anew, and nobody expected why")
            self._stopping.wait(AGAIN)

    def _follow(self) -> None:
        self._down.clear()
        consumer = open_consumer(self._settings, self._on_error)
        try:
            start = end_offset(consumer, BLOCKS, PARTITION)
            self._load()
            caught_up = end_offset(consumer, BLOCKS, PARTITION)
            consumer.assign([TopicPartition(BLOCKS, PARTITION, start)])
            position = start
            while not self._stopping.is_set():
                messages = read(consumer)
                if messages:
                    self._apply(messages)
                    position = (messages[-1].offset() or 0) + 1
                if self._down.is_set():
                    raise NewsLostError("Kafka was away")
                if position >= caught_up and not self.ready.done():
                    self._soon(self._get_ready)
        finally:
            consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        self._log.warning("Kafka's consumer of blocks reports", reason=error.str())
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down.set()

    def _load(self) -> None:
        started = time.monotonic()
        snapshot = load_snapshot(self._settings.require_database(), int(time.time() * 1000))
        log.info(
            "The view is loaded",
            blocks=len(snapshot.blocks),
            partitions=snapshot.partitions,
            seconds=round(time.monotonic() - started, 3),
        )
        self._soon(self._view.load, snapshot)

    def _apply(self, messages: list[Message]) -> None:
        news: list[BlocksMessage] = []
        for message in messages:
            error = message.error()
            if error is not None:
                raise NewsLostError(error.str())
            try:
                news.append(decode_blocks(message.value()))
            except UndecodableError as bad:
                metrics.UNDECODABLE.labels(BLOCKS).inc()
                self._log.warning(
                    "A record on blocks cannot be read", offset=message.offset(), reason=str(bad)
                )
        self._soon(self._view.apply, news, time.monotonic())

    def _get_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody cares
            self._loop.call_soon_threadsafe(call, *arguments)
