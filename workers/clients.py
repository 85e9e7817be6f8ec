"""What a worker's process works with: its clients of Kafka and Postgres, made after its start."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from confluent_kafka import KafkaException
from psycopg_pool import PoolTimeout

from settings import Settings
from workers.log import Log, LogMovedError
from workers.publisher import Publisher, PublishError
from workers.store import Store

FAILURES = (psycopg.Error, PoolTimeout, KafkaException, PublishError, LogMovedError)
"""What a worker answers by claiming again: something was away, or is another one now."""


class Clients:
    """The clients of one process, for whichever partition it has."""

    def __init__(self, config: Settings, partition: int) -> None:
        self.partition = partition
        self._kafka = config.require_kafka()
        self.store = Store(config.require_database(), partition)
        self.store.open()
        self.log = Log(self._kafka, partition)
        self.publisher = Publisher(self._kafka, partition)

    def warm(self) -> None:
        """Connect ahead of need; what is away now will be connected to when it is needed."""
        with suppress(*FAILURES):
            self.store.warm()
            self.log.warm()
            self.publisher.warm()

    def serve(self, partition: int) -> None:
        """Work for this partition from now on; only before anything was done for another."""
        self.partition = partition
        self.store.partition = self.log.partition = self.publisher.partition = partition

    def renew_publisher(self) -> None:
        """What it still holds may be of another epoch, and a fatal error of it is for good."""
        self.publisher.close()
        self.publisher = Publisher(self._kafka, self.partition)

    def close(self) -> None:
        """Let go of everything."""
        self.publisher.close()
        self.log.close()
        self.store.close()
