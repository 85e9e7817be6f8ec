"""`python -m events`: make the topics, or check those that exist."""

from __future__ import annotations

import sys

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import settings
from events.beginning import first_layout
from events.clients import connection
from events.topics import ATTEMPTS, Retention, TopicError, create_topics
from sql.topology import settle_partitions, settled_partitions


def main() -> int:
    """Make and check the topics, and settle once how many partitions are used."""
    try:
        config = settings.load()
        admin = AdminClient(connection(config.require_kafka()))
        retention = Retention(config.attempts_retention_hours, config.news_retention_hours)
        present = create_topics(admin, config.partitions, config.replication, retention)
        begins = None
        with psycopg.connect(config.require_database(), autocommit=True) as database:
            used = settled_partitions(database)
            if used is None:
                begins = first_layout(config.require_kafka(), present)
                used = settle_partitions(database, begins or config.partitions)
    except (settings.SettingsError, TopicError) as error:
        print(error, file=sys.stderr)
        return 2
    except KafkaException as error:
        print(
            f"KAFKA_BOOTSTRAP_SERVERS: no topics without Kafka: {error.args[0].str()}",
            file=sys.stderr,
        )
        return 1
    except psycopg.Error as error:
        print(f"DATABASE_URL: the partitions could not be settled: {error}", file=sys.stderr)
        return 1
    if present < used:
        print(
            f"The topic {ATTEMPTS} has {present} partitions and the database says {used}. Were it "
            f"made anew, delete it and run this again with CERROJO_PARTITIONS={used}.",
            file=sys.stderr,
        )
        return 2
    if begins not in (None, config.partitions):
        print(
            f"The topics are there. The log of {ATTEMPTS} begins with {used} partitions and not "
            f"with CERROJO_PARTITIONS={config.partitions}: so many are used until it says that "
            "there are more."
        )
        return 0
    spare = f"; {present - used} more in the topic stay unused" if present > used else ""
    print(f"The topics are there; {used} partitions of {ATTEMPTS} are used{spare}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
