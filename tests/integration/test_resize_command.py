"""`cerrojo resize` and `policy`: their refusals, and their output."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from events.topics import ATTEMPTS, describe
from settings import Settings
from sql.topology import exclusive_command
from tests.harness.waiting import wait_until
from workers.commands import change_policy, resize
from workers.commands.errors import CommandError

POLICY = '{"version": 3, "threshold": 5}'


@pytest.fixture
def config(topics: str, database: str) -> Settings:
    """Settings of a system with four partitions, all of which have the same policy."""
    with psycopg.connect(database) as connection:
        for partition in range(4):
            connection.execute("SELECT claim_partition(%s, 'nobody')", (partition,))
        connection.execute("UPDATE partition_progress SET policy = %s", (POLICY,))
    return Settings(database_url=database, kafka_bootstrap_servers=topics)


def run_resize(config: Settings, partitions: int | None = None) -> str:
    """The output of the command."""
    return str(resize.run(config, partitions))


def run_change_policy(config: Settings) -> str:
    """The output of the other command."""
    return str(change_policy.run(config, {"threshold": 2}))


def present(config: Settings) -> int:
    """How many partitions the topic has."""
    kafka = AdminClient({"bootstrap.servers": config.require_kafka()})
    return len(describe(kafka, ATTEMPTS).partitions)


def query(config: Settings, statement: str) -> list[tuple[object, ...]]:
    """Ask or change the database."""
    with psycopg.connect(config.require_database()) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_it_shows_what_is_used_and_refuses_what_would_lose_attempts(config: Settings):
    """Fewer are never possible, nor are more than anybody uses."""
    assert run_resize(config) == run_resize(config, 4) == "4 partitions of attempts are used."
    kafka = AdminClient({"bootstrap.servers": config.require_kafka()})
    kafka.create_partitions([NewPartitions(ATTEMPTS, 6)])[ATTEMPTS].result()
    wait_until(lambda: present(config) == 6)  # the controller knows of it a moment earlier
    assert run_resize(config) == (
        "4 partitions of attempts are used; 2 more in the topic are unused."
    )
    with pytest.raises(
        CommandError, match="4 partitions are used, and the number cannot be lowered"
    ):
        run_resize(config, 3)
    with pytest.raises(CommandError, match=r"1025 partitions are too many.*1024"):
        run_resize(config, 1025)
    assert query(config, "SELECT wanted FROM topology") == [(0,)]


def test_it_says_whom_it_waits_for_and_goes_on_without_being_waited_for(
    config: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Here nobody works; meanwhile neither another number nor another policy is taken."""
    monkeypatch.setattr(resize, "WAIT_SECONDS", 0.2)
    with pytest.raises(CommandError, match=r"workers of partitions \[0, 1, 2, 3, 4\]"):
        resize.run(config, 5, reason="more hosts")
    wait_until(lambda: present(config) == 5)
    asked = {"partitions": 5, "operator": change_policy.this_user(), "reason": "more hosts"}
    with pytest.raises(CommandError, match="were not ready"):
        resize.run(config, 5, reason="to finish it")
    assert query(config, "SELECT asked FROM topology") == [(asked,)]
    assert run_resize(config) == ("4 partitions of attempts are used; a resize to 5 is under way.")
    with pytest.raises(CommandError, match=r"A resize to 5 is under way already.*resize 5"):
        run_resize(config, 6)
    with pytest.raises(CommandError, match="Another command is changing"):
        run_change_policy(config)
    query(config, "UPDATE topology SET partitions = 5")
    assert run_resize(config, 5) == "5 partitions of attempts are used."


def test_the_policy_and_the_partitions_are_not_changed_at_the_same_time(config: Settings):
    """A new partition would begin with a policy that is no longer the others'."""
    with psycopg.connect(config.require_database(), autocommit=True) as other:
        with exclusive_command(other) as exclusive:
            assert exclusive
            for command in (lambda: run_resize(config, 5), lambda: run_change_policy(config)):
                with pytest.raises((CommandError, CommandError), match="Another command"):
                    command()
        with exclusive_command(other) as exclusive:
            assert exclusive
    query(
        config,
        "UPDATE partition_progress SET policy = jsonb_set(policy, '{version}', '4')"
        " WHERE partition = 2",
    )
    with pytest.raises(CommandError, match="Not all partitions have the same policy"):
        run_resize(config, 5)
    assert query(config, "SELECT wanted FROM topology") == [(0,)]


def test_the_policy_is_only_shown_where_nothing_is_to_be_changed(config: Settings):
    """Also where a partition is behind: that is its worker's affair."""
    query(
        config,
        "UPDATE partition_progress SET policy = policy || '{\"version\": 2}' WHERE partition = 1",
    )
    said = str(change_policy.run(config, {}))
    assert said.startswith("Policy 3: 5 wrong passwords")
    assert "It is not in force yet in partitions [1]." in said


def test_it_is_said_which_logs_have_not_got_the_policy(
    config: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It would never come into force there."""
    monkeypatch.setattr(change_policy, "_wait", lambda *_: [])  # nobody works here
    query(config, "UPDATE topology SET partitions = 5")
    query(config, "SELECT claim_partition(4, 'nobody')")
    query(config, f"UPDATE partition_progress SET policy = '{POLICY}'")
    with pytest.raises(CommandError, match=r"did not accept the policy for partitions \[4\]"):
        run_change_policy(config)
