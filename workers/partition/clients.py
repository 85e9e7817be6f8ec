"""The Kafka and Postgres clients of a worker's process, created after the process has started."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from confluent_kafka import KafkaException
from psycopg_pool import PoolTimeout

from events import signature_metrics
from events.signatures import Opener, Sealer
from events.signing_keys import key_file
from events.topics import ATTEMPTS
from settings import Settings
from workers.partition.attempt_reader import AttemptReader, LogMovedError
from workers.partition.publisher import Publisher, PublishError
from workers.partition.seals import AUDIT_LOG
from workers.partition.store import Store

CONNECTION_SECONDS = 0.5
"""A claim waits this long for a connection to Postgres. The pool tries twice when it is asked for
one, and then not before it is asked again; a try that takes longer goes on meanwhile."""

FAILURES = (psycopg.Error, PoolTimeout, KafkaException, PublishError, LogMovedError)
"""Errors after which a worker claims again: Kafka or Postgres was away or has been replaced."""


class Clients:
    """The clients of one process. A standby's get their partition later."""

    def __init__(self, config: Settings, partition: int) -> None:
        """Raises SettingsError where the keys of records cannot be used."""
        self.partition = partition
        self._config = config
        self._keys = key_file(config, "workers")
        self.opener = Opener(
            self._keys,
            config.prefixed(ATTEMPTS),
            config.unsigned_until_ms,
            signature_metrics.UNSIGNED.labels(ATTEMPTS).inc,
        )
        signature_metrics.SIGNING.set(self._keys is not None)
        sealer = Sealer(self._keys, config.prefixed(AUDIT_LOG))
        self.store = Store(config.require_database(), partition, sealer, CONNECTION_SECONDS)
        self.store.open()
        self.reader = AttemptReader(config, partition)
        self.publisher = Publisher(config, partition, self._keys)

    def warm(self) -> None:
        """Connect ahead of need. A server that is away is connected to when it is needed."""
        with suppress(*FAILURES):
            self.store.warm()
            self.reader.warm()
            self.publisher.warm()

    def take_partition(self, partition: int) -> None:
        """Use this partition from now on. Only to be called before another one was used."""
        self.partition = partition
        self.store.partition = self.reader.partition = self.publisher.partition = partition

    def renew_publisher(self) -> None:
        """Replace the publisher: its queue may be of an older epoch, and its fatal errors stay.

        Raises ``KafkaException`` where none can be made, as while a file of TLS is replaced.
        """
        publisher = Publisher(self._config, self.partition, self._keys)
        self.publisher.close()
        self.publisher = publisher

    def close(self) -> None:
        """Close all connections."""
        self.publisher.close()
        self.reader.close()
        self.store.close()
