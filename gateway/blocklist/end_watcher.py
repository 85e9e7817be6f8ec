"""Keeps asking the brokers where a topic ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from confluent_kafka import KafkaException

from events.clients import asking_consumer, drain, end_offset
from processes.stoppable_thread import StoppableThread
from settings import Settings

INTERVAL_SECONDS = 0.5
"""An answer older than two seconds is of no use; some may be late."""


class EndWatcher:
    """A thread with a client of its own: a consumer's questions wait behind its long polls."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partition: int,
        on_end: Callable[[int, float], None],
    ) -> None:
        """`on_end` is called in the thread, with an end and the moment of the question."""
        self._settings = settings
        self._topic = topic
        self._partition = partition
        self._on_end = on_end
        self._thread = StoppableThread("end watcher", self._run)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Ask no more, and wait up to `seconds` for the thread's end."""
        self._thread.stop(seconds)

    def _run(self) -> None:
        consumer = None
        while not self._thread.stopping.is_set():
            asked = time.monotonic()
            with contextlib.suppress(KafkaException):  # without an answer the log decides
                consumer = consumer or asking_consumer(self._settings)
                drain(consumer)
                self._on_end(end_offset(consumer, self._topic, self._partition), asked)
            self._thread.stopping.wait(INTERVAL_SECONDS)
        if consumer is not None:
            consumer.close()
