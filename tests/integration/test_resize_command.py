"""`python -m workers resize` and `policy`: what they refuse, and what they say."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

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


def change_policy(config: Settings, *options: str) -> str:
    """What the other command says."""
    parser = ArgumentParser()
    policy_command.add_arguments(parser)
    return policy_command.run(config, parser.parse_args(options or ["--threshold", "2"]))


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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--threshold", "0"), "--threshold must be from 1 to 100, and is 0."),
        (("--threshold", "101"), "--threshold must be from 1 to 100, and is 101."),
        (("--window", "0"), "--window must be from 1 to 86400000 ms, and is 0."),
        (("--block", "1e16"), "--block must be from 0 to 3153600000000 ms, and is 1"),
        (("--block-max", "1e16"), "--block-max must be from 0 to 3153600000000 ms"),
        (("--final", "-1"), "--final must be from 0 to 1000000, and is -1."),
        (("--forget", "36501"), "--forget must be from 0 to 3153600000000 ms"),
    ],
)
def test_a_policy_that_could_not_be_kept_is_refused(
    config: Settings, options: tuple[str, ...], sentence: str
):
    """A block beyond what a column holds would never close."""
    with pytest.raises(PolicyCommandError, match=f"^{sentence}"):
        change_policy(config, *options)


@pytest.mark.parametrize("text", ["inf", "nan", "soon"])
def test_what_is_no_number_is_said_to_be_none(
    config: Settings, text: str, capsys: pytest.CaptureFixture[str]
):
    """Also where Python has one of that name."""
    with pytest.raises(SystemExit):
        change_policy(config, "--block", text)
    assert f"argument --block: invalid number value: '{text}'" in capsys.readouterr().err


def test_the_policy_is_only_shown_where_nothing_is_to_be_changed(config: Settings):
    """Also where a partition is behind: that is its worker's affair."""
    parser = ArgumentParser()
    policy_command.add_arguments(parser)
    query(
        config,
        "UPDATE partition_progress SET policy = policy || '{\"version\": 2}' WHERE partition = 1",
    )
    said = policy_command.run(config, parser.parse_args([]))
    assert said.startswith("Policy 3: 5 wrong passwords")
    assert "It is not in force yet in partitions [1]." in said


def test_it_is_said_which_logs_have_not_got_the_policy(
    config: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It would never come into force there."""
    monkeypatch.setattr(policy_command, "WAIT_SECONDS", 3.0)
    query(config, "UPDATE topology SET partitions = 5")
    query(config, "SELECT claim_partition(4, 'nobody')")
    query(config, f"UPDATE partition_progress SET policy = '{POLICY}'")
    with pytest.raises(PolicyCommandError, match=r"did not take the policy for partitions \[4\]"):
        change_policy(config)
