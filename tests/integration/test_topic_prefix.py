"""A prefix keeps two systems on one Kafka apart."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from msgspec.structs import replace

from events.clients import reach
from events.messages import Blocked, Decision, decode_blocks
from events.topics import BLOCKS, TOPICS, create_topics
from settings import Settings
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.harness.asking import decisions
from tests.harness.owner import read_all
from tests.kafka import remove_topics

PATIENCE_SECONDS = 60.0


@pytest.fixture
def one(kafka: str, database: str) -> Iterator[Settings]:
    """A system with a prefix; there is nothing of it in Kafka."""
    config = Settings(kafka_bootstrap_servers=kafka, database_url=database, topic_prefix="one.")
    yield config
    admin = reach(config, PATIENCE_SECONDS)
    remove_topics(admin, *(prefix + topic for prefix in ("one.", "two_") for topic in TOPICS))


def test_two_systems_do_not_see_each_other(one: Settings, kafka: str, database: str) -> None:
    """Five wrong passwords in one of them block nobody in the other, which counts for itself."""
    two = replace(one, topic_prefix="two_")
    for system in (one, two):
        admin = reach(system, PATIENCE_SECONDS)
        assert create_topics(admin, 4, 1, prefix=system.topic_prefix) == 4
    assert decisions(one, "ana", 6) == [Decision.REJECTED] * 5 + [Decision.BLOCKED]
    with psycopg.connect(database, autocommit=True) as connection:  # another database
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    migrate(database)
    with psycopg.connect(database) as connection:
        settle_partitions(connection, 4)
    assert decisions(two, "ana", 1) == [Decision.REJECTED]
    news = {p: map(decode_blocks, read_all(kafka, p + BLOCKS, 0)) for p in ("one.", "two_")}
    blocked = {p: [m for m in said if isinstance(m, Blocked)] for p, said in news.items()}
    assert [m.user for m in blocked["one."]] == ["ana"]
    assert blocked["two_"] == []
