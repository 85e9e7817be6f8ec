"""`python -m workers resize` and `policy`: what they refuse, and what they say."""

from __future__ import annotations

from argparse import Namespace

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from events.topics import ATTEMPTS, describe
from settings import Settings
from sql.topology import only_command
from workers import policy_command, resize_command
from workers.policy_command import PolicyCommandError
from workers.resize_command import ResizeCommandError

POLICY = '{"version": 3, "threshold": 5}'


@pytest.fixture
def config(topics: str, database: str) -> Settings:
    """Settings of a system with four partitions, all of which have the same policy."""
    with psycopg.connect(database) as connection:
        for partition in range(4):
            connection.execute("SELECT claim_partition(%s, 'nobody')", (partition,))
        connection.execute("UPDATE partition_progress SET policy = %s", (POLICY,))
    return Settings(DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=topics)


def resize(config: Settings, partitions: int | None = None) -> str:
    """What the command says."""
    return resize_command.run(config, Namespace(partitions=partitions))


def change_policy(config: Settings) -> str:
    """What the other command says."""
    options = dict.fromkeys(("window", "block", "block_max", "final", "forget"))
    return policy_command.run(config, Namespace(threshold=2, **options))


def query(config: Settings, statement: str) -> list[tuple[object, ...]]:
    """Ask or change the database."""
    with psycopg.connect(config.require_database()) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_it_shows_what_is_used_and_refuses_what_would_lose_attempts(config: Settings):
    """Fewer are never possible, nor are more than anybody uses."""
    assert resize(config) == resize(config, 4) == "4 partitions of attempts are used."
    kafka = AdminClient({"bootstrap.servers": config.require_kafka()})
    kafka.create_partitions([NewPartitions(ATTEMPTS, 6)])[ATTEMPTS].result()
    assert resize(config) == ("4 partitions of attempts are used; 2 more in the topic stay unused.")
    with pytest.raises(ResizeCommandError, match="4 partitions are used, and they never become"):
        resize(config, 3)
    with pytest.raises(ResizeCommandError, match="1025 partitions are more than 1024"):
        resize(config, 1025)
    assert query(config, "SELECT wanted FROM topology") == [(0,)]


def test_it_says_whom_it_waits_for_and_goes_on_without_being_waited_for(
    config: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Here nobody works; meanwhile neither another number nor another policy is taken."""
    monkeypatch.setattr(resize_command, "WAIT_SECONDS", 0.2)
    with pytest.raises(ResizeCommandError, match=r"workers of partitions \[0, 1, 2, 3, 4\]"):
        resize(config, 5)
    kafka = AdminClient({"bootstrap.servers": config.require_kafka()})
    assert len(describe(kafka, ATTEMPTS).partitions) == 5
    assert resize(config) == "4 partitions of attempts are used, and they are becoming 5."
    with pytest.raises(ResizeCommandError, match=r"They are becoming 5 already.*resize 5"):
        resize(config, 6)
    with pytest.raises(PolicyCommandError, match="Somebody changes"):
        change_policy(config)
    query(config, "UPDATE topology SET partitions = 5")
    assert resize(config, 5) == "5 partitions of attempts are used."


def test_the_policy_and_the_partitions_are_not_changed_at_the_same_time(config: Settings):
    """A new partition would begin with a policy that is no longer the others'."""
    with psycopg.connect(config.require_database(), autocommit=True) as other:
        with only_command(other) as alone:
            assert alone
            for command in (lambda: resize(config, 5), lambda: change_policy(config)):
                with pytest.raises((ResizeCommandError, PolicyCommandError), match="this moment"):
                    command()
        with only_command(other) as alone:
            assert alone
    query(
        config,
        "UPDATE partition_progress SET policy = jsonb_set(policy, '{version}', '4')"
        " WHERE partition = 2",
    )
    with pytest.raises(ResizeCommandError, match="Not all partitions have the same policy"):
        resize(config, 5)
    assert query(config, "SELECT wanted FROM topology") == [(0,)]
