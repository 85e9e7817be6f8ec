"""What `cerrojo doctor` finds in a real Kafka and Postgres that are not as they should be."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cerrojo import check_kafka
from cerrojo.check_postgres import check_postgres, used_partitions
from cerrojo.findings import Findings, State
from events.topics import SOURCES, create_topics
from settings import Settings
from sql.roles import ROLES
from tests.harness.owner import PATIENCE_SECONDS
from tests.kafka import remove_topics, set_config
from tests.postgres import as_role, in_latin_1
from workers.commands import partitions

PREFIX = "doctor."


def of(check: str, found: Findings) -> list[tuple[State, str]]:
    """What it finds about this."""
    return [(finding.state, finding.sentence) for finding in found if finding.check == check]


def change(url: str, *statements: str) -> None:
    """Change the database."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_migrations_that_are_not_applied_are_named(database_url: str) -> None:
    """And nothing is said of tables that are not there yet."""
    found = list(check_postgres(Settings(database_url=database_url)))
    assert [finding.check for finding in found] == ["Postgres", "clock of Postgres", "migrations"]
    assert found[-1].state == State.FAILED
    assert found[-1].sentence.startswith("Not applied: 0001.tables, ")
    assert "`python -m sql` applies them" in found[-1].sentence


def test_a_database_that_cannot_hold_every_name_is_a_failure(database_url: str) -> None:
    """Also one from a version that did not look."""
    with in_latin_1(database_url) as url:
        ((state, sentence),) = of("Postgres", check_postgres(Settings(database_url=url)))
    assert state == State.FAILED
    assert "_latin' has the encoding LATIN1" in sentence


def test_a_newer_schema_is_a_warning(database: str) -> None:
    """As an update of the gateways is under way then."""
    change(
        database,
        "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999.later')",
    )
    ((state, sentence),) = of("migrations", check_postgres(Settings(database_url=database)))
    assert state == State.WARNING
    assert sentence.startswith("9999.later: ")


def test_what_the_role_may_not_is_named(database: str) -> None:
    """By table."""
    settings = Settings(database_url=database)
    ((state, _),) = of("role", check_postgres(settings))
    assert state == State.OK
    change(database, "REVOKE INSERT, UPDATE ON accounts FROM current_user")
    ((state, sentence),) = of("role", check_postgres(settings))
    assert state == State.WARNING
    assert "lacks INSERT on accounts, UPDATE on accounts." in sentence


def test_connections_that_are_nearly_used_up_are_a_warning(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process would find none; those of all databases count, and of this one, too."""
    settings = Settings(database_url=database)
    ((state, _),) = of("connections", check_postgres(settings))
    assert state == State.OK
    monkeypatch.setattr("cerrojo.check_postgres.NEARLY_ALL", 0.0)
    ((state, sentence),) = of("connections", check_postgres(settings))
    assert state == State.WARNING
    assert re.match(r"[1-9]\d* of 197 are used", sentence)  # three are kept for superusers


@pytest.mark.parametrize("role", ROLES)
def test_the_role_of_a_part_sees_little(database: str, role: str) -> None:
    """Which is no fault of the system's; as the owner all is looked at."""
    found = list(check_postgres(Settings(database_url=as_role(database, role))))
    assert [finding.check for finding in found] == ["Postgres", "clock of Postgres", "role"]
    assert found[-1].state == State.WARNING
    assert f"has the rights of {role} alone" in found[-1].sentence


def test_partitions_are_looked_at(database: str) -> None:
    """Without workers, with two policies, in a resize, and well."""
    settings = Settings(database_url=database)

    def found() -> tuple[State, str]:
        (one,) = of("partitions", check_postgres(settings))
        return one

    assert found() == (
        State.WARNING,
        "[0, 1, 2, 3] never had a worker. Start `python -m workers`.",
    )
    for partition in range(4):
        change(database, f"SELECT claim_partition({partition}, 'nobody')")
    change(database, """UPDATE partition_progress SET policy = '{"version": 3}'""")
    assert found() == (State.OK, "4 are used, all with one policy.")
    change(database, "UPDATE topology SET wanted = 6")
    assert "A resize to 6 is under way" in found()[1]
    change(
        database, """UPDATE partition_progress SET policy = '{"version": 2}' WHERE partition = 1"""
    )
    assert "Not all of them have the same policy" in found()[1]
    change(database, "DELETE FROM topology")
    assert found()[0] == State.FAILED
    assert used_partitions(settings) == 0


@pytest.fixture
def topics_found(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[AdminClient, Callable[[int], list[tuple[State, str]]]]:
    """A client of a Kafka with topics of this test's own, and what is found about these."""
    monkeypatch.setattr(check_kafka, "HEARTBEAT_SECONDS", 0.5)  # no worker says anything
    admin = AdminClient({"bootstrap.servers": kafka})
    create_topics(admin, 4, 1, prefix=PREFIX)
    settings = Settings(kafka_bootstrap_servers=kafka, topic_prefix=PREFIX)
    return admin, lambda used: of("topics", check_kafka.check_kafka(settings, used))


def test_topics_are_looked_at(
    topics_found: tuple[AdminClient, Callable[[int], list[tuple[State, str]]]],
) -> None:
    """Whether they are there, have the partitions, and the configuration that decides."""
    admin, found = topics_found
    assert found(4) == [(State.OK, "All 5 are there, with the configuration that they need.")]
    ((state, sentence),) = found(5)
    assert state == State.FAILED
    assert "The topic doctor.attempts has 4 partitions and the database says 5." in sentence
    set_config(admin, "doctor.attempts", "message.timestamp.type", "CreateTime")
    remove_topics(admin, PREFIX + SOURCES)
    said = [sentence for _, sentence in found(4)]
    assert any("has message.timestamp.type=CreateTime and must have Log" in one for one in said)
    assert "The topic doctor.sources is missing. `python -m events` makes it." in said


def test_the_lag_of_a_partition_is_what_is_not_decided(topics: str, database: str) -> None:
    """As the workers' metrics have it."""
    change(database, "SELECT claim_partition(2, 'host 7')")
    producer = Producer({"bootstrap.servers": topics})
    for _ in range(3):
        producer.produce("attempts", b"x", partition=2)
    assert producer.flush(PATIENCE_SECONDS) == 0
    found = partitions.run(Settings(database_url=database, kafka_bootstrap_servers=topics))
    assert [state.partition for state in found] == [0, 1, 2, 3]
    assert (found[2].lag, found[2].end_offset, found[2].owner) == (3, 3, "host 7")
    assert (found[0].lag, found[0].owner) == (None, None)
