"""`python -m events`: create the topics, or check those that exist."""

from __future__ import annotations

import sys

import psycopg
from confluent_kafka import KafkaException

import settings
from events.beginning import first_layout
from events.clients import reach, reason
from events.rights import let_in, read_users
from events.topics import (
    ADMIN_TIMEOUT_SECONDS,
    ATTEMPTS,
    Retention,
    TopicError,
    create_topics,
    too_few,
)
from processes import manager_link
from processes.start_gate import await_start_gate
from sql.connection import connection_options, require_session
from sql.topology import settle_partitions, settled_partitions

GRACE_SECONDS = 1.0
"""To end after whoever started this is dead."""


def main() -> int:
    """Create or check the topics, let the parts' users in, and settle the partitions once.

    Returns the exit code.
    """
    try:
        config = settings.load()
        manager_link().watch(GRACE_SECONDS)
        await_start_gate()
        admin = reach(config, ADMIN_TIMEOUT_SECONDS)
        if config.kafka_users_file:
            let_in(admin, read_users(config.kafka_users_file), config.topic_prefix)
        retention = Retention(
            config.attempts_retention_hours,
            config.news_retention_hours,
            config.events_retention_hours,
        )
        present = create_topics(
            admin, config.partitions, config.replication, retention, config.topic_prefix, _report
        )
        begins = None
        with psycopg.connect(
            config.require_database(), autocommit=True, **connection_options("events")
        ) as database:
            require_session(database, config.require_database())
            used = settled_partitions(database)
            if used is None:
                begins = first_layout(config, present)
                used = settle_partitions(database, begins or config.partitions)
    except (settings.SettingsError, TopicError) as error:
        print(error, file=sys.stderr)
        return 2
    except KafkaException as error:
        print(
            f"KAFKA_BOOTSTRAP_SERVERS: Kafka failed: {reason(error)}",
            file=sys.stderr,
        )
        return 1
    except psycopg.Error as error:
        print(f"DATABASE_URL: the number of partitions could not be set: {error}", file=sys.stderr)
        return 1
    if present < used:
        print(too_few(config.prefixed(ATTEMPTS), present, used), file=sys.stderr)
        return 2
    if begins not in (None, config.partitions):
        print(
            f"The topics exist. The log of {config.prefixed(ATTEMPTS)} begins with {used} "
            f"partitions and not with CERROJO_PARTITIONS={config.partitions}: {used} are used "
            "until the log enters a larger layout."
        )
        return 0
    unused = f"; {present - used} more in the topic are unused" if present > used else ""
    print(f"The topics exist; {used} partitions of {config.prefixed(ATTEMPTS)} are used{unused}.")
    return 0


def _report(sentence: str) -> None:
    print(sentence, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
