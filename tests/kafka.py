"""What the tests do with Kafka beside using it."""

from __future__ import annotations

import contextlib

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from events.topics import ATTEMPTS, BLOCKS, VERDICTS, create_topics


def remove_topics(admin: AdminClient, *names: str) -> None:
    """Delete those of these topics that exist, and return when they are gone."""
    while present := sorted(set(names) & set(admin.list_topics(timeout=10).topics)):
        for future in admin.delete_topics(present).values():
            with contextlib.suppress(KafkaException):  # it is being deleted already
                future.result()


def new_topics(kafka: str, partitions: int) -> None:
    """The topics as `python -m events` makes them, empty."""
    admin = AdminClient({"bootstrap.servers": kafka})
    remove_topics(admin, ATTEMPTS, VERDICTS, BLOCKS)
    create_topics(admin, partitions, replication=1)
