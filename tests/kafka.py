"""Actions of the tests on Kafka, beside using it."""

from __future__ import annotations

import contextlib

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from events.topics import TOPICS, create_topics
from settings import Settings


def at(kafka: str) -> Settings:
    """The settings of a client of this Kafka."""
    return Settings(kafka_bootstrap_servers=kafka)


def remove_topics(admin: AdminClient, *names: str) -> None:
    """Delete those of these topics that exist, and return when they are gone."""
    while present := sorted(set(names) & set(admin.list_topics(timeout=60).topics)):
        for future in admin.delete_topics(present).values():
            with contextlib.suppress(KafkaException):  # it is being deleted already
                future.result()


def new_topics(kafka: str, partitions: int) -> None:
    """The topics as `python -m events` makes them, empty."""
    admin = AdminClient({"bootstrap.servers": kafka})
    remove_topics(admin, *TOPICS)
    create_topics(admin, partitions, replication=1)


def set_config(admin: AdminClient, topic: str, key: str, value: str) -> None:
    """Configure a topic so, and return when the broker knows it, after the controller."""
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result()
    while admin.describe_configs([resource])[resource].result()[key].value != value:
        pass  # each look waits for an answer


def reader(kafka: str, **options: str) -> Consumer:
    """A consumer that joins no group; `options` have underscores instead of dots."""
    own = {name.replace("_", "."): value for name, value in options.items()}
    # The client wants the name of a group.
    return Consumer({"bootstrap.servers": kafka, "group.id": "test", "log_level": 2, **own})
