"""Records that cannot be decided are found, put aside, listed and replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from events.messages import Policy, SetPolicy, encode, new_id
from tests.integration.owner import PARTITION, REPLIES, Owners, put, verdicts, work, wrong
from workers.worker import Worker

NewWorker = Callable[..., Worker]
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def new_worker(topics: str, database: str) -> Iterator[NewWorker]:
    """Makes owners of the partition."""
    with Owners(topics) as owners:
        yield partial(owners.new, database)


def quarantine(database: str) -> list[tuple[Any, ...]]:
    """Offset, bytes and reason of what was put aside, and whether it was replayed."""
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT log_offset, value, reason, replayed_at IS NOT NULL FROM quarantine ORDER BY 1"
        ).fetchall()


def offsets(database: str) -> list[int]:
    """The offsets of what was put aside."""
    return [row[0] for row in quarantine(database)]


class DiedError(BaseException):
    """In the place of the end of a process: nothing that a worker does catches it."""


def die(_: bool) -> None:
    """What befalls a process while it computes."""
    raise DiedError


def live_and_die(new_worker: NewWorker, name: str, **options: Any) -> None:
    """Claim, and die of the first record that is decided alone."""
    worker = new_worker(name, computing=die, **options)
    worker.claim()
    with pytest.raises(DiedError):
        work(worker, until=1_000_000)


@pytest.fixture
def suspects(new_worker: NewWorker, topics: str) -> list[bytes]:
    """Three attempts that an owner read, and died."""
    dead = new_worker("dead")
    dead.claim()
    work(dead, until=1)
    values = [encode(wrong(user)) for user in ("ana", "bob", "eve")]
    put(topics, *values)
    return values


@pytest.mark.parametrize(
    "value",
    [encode(wrong("an\0a")), encode(SetPolicy(new_id(), REPLIES, Policy(version=2**40)))],
    ids=["a name with a zero byte", "a version beyond the column's type"],
)
def test_what_postgres_refuses_stops_nobody(
    new_worker: NewWorker, topics: str, database: str, value: bytes
):
    """It is told from those that it was read with, which are decided as ever."""
    worker = new_worker()
    worker.claim()
    put(topics, encode(wrong("ana")), value, encode(wrong("ana")), encode(wrong("ana")))
    work(worker, until=5)
    assert [row[:2] for row in quarantine(database)] == [(2, value)]
    assert len(verdicts(topics)) == 3


def test_a_record_that_kills_three_owners_is_put_aside(
    new_worker: NewWorker, topics: str, database: str, suspects: list[bytes]
):
    """The fourth does not look at it, and decides what stands behind it."""
    for number in range(3):
        live_and_die(new_worker, f"victim {number}")
        assert quarantine(database) == []
    fourth = new_worker("fourth")
    fourth.claim()
    work(fourth, until=4)
    [(offset, value, reason, _)] = quarantine(database)
    assert (offset, value) == (1, suspects[0])
    assert reason == "the process died 3 times while it decided this record alone"
    assert [verdict.user for verdict in verdicts(topics)] == ["bob", "eve"]


def test_the_second_killer_is_found_like_the_first(
    new_worker: NewWorker, database: str, suspects: list[bytes]
):
    """What counted against one record does not count against the next."""
    for number in range(3 + 3):
        live_and_die(new_worker, f"victim {number}")
    assert offsets(database) == [1]
    last = new_worker("last")
    last.claim()
    work(last, until=4)
    assert offsets(database) == [1, 2]


def test_deaths_that_the_supervisor_excuses_count_against_nothing(
    new_worker: NewWorker, topics: str, database: str, suspects: list[bytes]
):
    """Somebody's signal, seen to come while no record was computed."""
    live_and_die(new_worker, "victim")
    for number in range(9):
        live_and_die(new_worker, f"victim of somebody {number}", excused=True)
    last = new_worker("last", excused=True)
    last.claim()
    work(last, until=4)
    assert quarantine(database) == []
    assert len(verdicts(topics)) == 3


def test_owners_that_die_before_they_decide_count_against_nothing(
    new_worker: NewWorker, topics: str, database: str, suspects: list[bytes]
):
    """Without a mark nothing is blamed, however many die."""
    for number in range(9):
        new_worker(f"dead {number}").claim()
    last = new_worker("last")
    last.claim()
    work(last, until=4)
    assert quarantine(database) == []


def test_only_deaths_in_a_row_count(
    new_worker: NewWorker, topics: str, database: str, suspects: list[bytes]
):
    """A record that was decided has killed nobody, so its successor starts at none."""
    live_and_die(new_worker, "first")
    live_and_die(new_worker, "second")
    third = new_worker("third")
    third.claim()
    work(third, until=2)
    live_and_die(new_worker, "fourth")
    last = new_worker("last")
    last.claim()
    work(last, until=4)
    assert quarantine(database) == []


def test_who_leaves_orderly_is_not_suspected_of_anything(
    new_worker: NewWorker, topics: str, suspects: list[bytes]
):
    """After a planned stop the next owner decides whole batches at once."""
    leaving = new_worker("leaving")
    leaving.claim()
    leaving.leave()
    live = new_worker("next", computing=die)
    live.claim()
    work(live, until=4)
    assert len(verdicts(topics)) == 3


def test_only_what_the_dead_one_may_have_read_is_decided_alone(
    new_worker: NewWorker, topics: str, suspects: list[bytes]
):
    """What came later is decided in batches again."""
    alone: list[bool] = []
    worker = new_worker("next", computing=alone.append)
    worker.claim()
    put(topics, *(encode(wrong(f"user {n}")) for n in range(20)))
    work(worker, until=24)
    assert alone == [True, False, True, False] * 3


def test_an_owner_that_claims_again_has_not_died(
    new_worker: NewWorker, database: str, suspects: list[bytes]
):
    """Kafka or Postgres was away; the same process goes on with what it suspects."""
    worker = new_worker("me")
    worker.claim()
    for _ in range(9):
        worker._store.mark_alone(worker.progress)
        worker.claim()
    assert worker.progress.suspect
    assert worker.progress.alone_deaths == 0
    work(worker, until=4)
    assert quarantine(database) == []


@pytest.fixture
def command(topics: str, database: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m workers quarantine` with these words."""
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": topics, "DATABASE_URL": database}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers", "quarantine", *words],
            env=env,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_quarantine_is_listed_and_replayed(
    new_worker: NewWorker, topics: str, database: str, command: Callable[..., Any]
):
    """The same bytes stand in the same partition again; what still cannot be read comes back."""
    assert command().stdout == "The quarantine is empty.\n"
    worker = new_worker()
    worker.claim()
    put(topics, b"junk", b"rubbish", encode(wrong("ana")))
    work(worker, until=4)
    listed = command().stdout.splitlines()
    assert len(listed) == 2
    assert listed[0].startswith(f"partition {PARTITION}  generation 1  offset 1  20")
    assert "  4 bytes  " in listed[0]

    done = command("replay", str(PARTITION), "2")
    assert done.stdout == "1 of them stand in the log again.\n", done.stderr
    work(worker, until=5)
    assert [(r[0], r[1], r[3]) for r in quarantine(database)] == [
        (1, b"junk", False),
        (2, b"rubbish", True),
        (4, b"rubbish", False),
    ]
    assert len(command().stdout.splitlines()) == 2

    assert command("replay", str(PARTITION + 1), "--all").stdout == "There is nothing.\n"
    done = command("replay", str(PARTITION), "--all")
    assert done.stdout == "2 of them stand in the log again.\n"
    work(worker, until=7)
    assert {r[1] for r in quarantine(database) if not r[3]} == {b"junk", b"rubbish"}
    assert len(quarantine(database)) == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("replay",), "Say which record to replay, by its partition and offset, or --all,"),
        (("replay", "2", "1", "--all"), "Say which record to replay"),
        (("replay", "2", "7"), "There is nothing in quarantine from offset 7 of partition 2"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_a_sentence(
    command: Callable[..., Any], words: tuple[str, ...], sentence: str
):
    """And the exit code is 2."""
    done = command(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)


def test_what_kafka_does_not_take_stays_listed(
    new_worker: NewWorker, topics: str, database: str, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is marked as replayed that does not stand in the log."""
    from workers import quarantine_command
    from workers.quarantine_command import QuarantineCommandError

    worker = new_worker()
    worker.claim()
    put(topics, b"junk")
    work(worker, until=2)
    monkeypatch.setattr(quarantine_command, "WAIT_SECONDS", 0.5)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    import argparse

    import settings

    parser = argparse.ArgumentParser()
    quarantine_command.add_arguments(parser)
    with pytest.raises(QuarantineCommandError, match="All stay listed"):
        quarantine_command.run(settings.load(), parser.parse_args(["replay", "--all"]))
    assert [row[3] for row in quarantine(database)] == [False]
