"""Records that cannot be decided are found, put aside, listed and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from events.messages import Policy, SetLayout, SetPolicy, Unblock, encode, new_id
from settings import Settings
from tests.harness.command import cerrojo
from tests.harness.owner import PARTITION, REPLIES, Owners, put, verdicts, work, wrong
from workers.partition.worker import Worker

NewWorker = Callable[..., Worker]


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
    """Die as a process does while it computes."""
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
    values = [encode(wrong(user)) for user in ("ana", "dea", "eve")]
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


def test_a_record_that_no_gateway_writes_there_stops_nobody(
    new_worker: NewWorker, topics: str, database: str
):
    """One in a wrong partition would be a second writer's; for a missing one all would wait."""
    worker = new_worker()
    worker.claim()
    misrouted = [
        encode(wrong("ana", 5)),
        encode(SetLayout(new_id(), REPLIES, 5)),
        encode(wrong("bob", 4)),
        encode(wrong("bob")),
        encode(Unblock(new_id(), REPLIES, "bob")),
    ]
    put(topics, *misrouted, encode(wrong("ana")), encode(wrong("ana", 4)))
    work(worker, until=8)
    assert [row[:3] for row in quarantine(database)] == [
        *(
            (n + 1, v, "it was addressed by 5 partitions, and the topic has 4")
            for n, v in enumerate(misrouted[:2])
        ),
        *((n + 3, v, "its account has partition 0") for n, v in enumerate(misrouted[2:])),
    ]
    assert [verdict.user for verdict in verdicts(topics)] == ["ana", "ana"]


def test_partitions_that_a_broker_has_not_heard_of_yet_are_no_mistake(
    new_worker: NewWorker, topics: str, database: str, monkeypatch: pytest.MonkeyPatch
):
    """A partition that Postgres has in use is there, whatever one broker's metadata say."""
    worker = new_worker()
    monkeypatch.setattr(worker._reader, "partition_count", lambda: 2)
    worker.claim()
    put(topics, encode(SetLayout(new_id(), REPLIES, 4)), encode(wrong("ana", 4)))
    with psycopg.connect(database) as connection:  # the others have entered it
        connection.execute(
            "INSERT INTO partition_progress (partition, epoch, owner, layout)"
            " SELECT n, 1, 'other', 4 FROM unnest(ARRAY[0, 1, 3]) AS n"
        )
    work(worker, until=3)
    assert quarantine(database) == []
    assert [verdict.user for verdict in verdicts(topics)] == ["", "ana"]


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
    assert [verdict.user for verdict in verdicts(topics)] == ["dea", "eve"]


def test_the_second_killer_is_found_like_the_first(
    new_worker: NewWorker, database: str, suspects: list[bytes]
):
    """Deaths that counted against one record do not count against the next."""
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
    leaving.shut_down()
    live = new_worker("next", computing=die)
    live.claim()
    work(live, until=4)
    assert len(verdicts(topics)) == 3


def test_only_what_the_dead_one_may_have_read_is_decided_alone(
    new_worker: NewWorker, topics: str, suspects: list[bytes]
):
    """Later records are decided in batches again."""
    alone: list[bool] = []
    worker = new_worker("next", computing=alone.append)
    worker.claim()
    put(topics, *(encode(wrong("ana")) for _ in range(20)))
    work(worker, until=24)
    assert alone == [True, False, True, False] * 3


def test_an_owner_that_claims_again_has_not_died(
    new_worker: NewWorker, database: str, suspects: list[bytes]
):
    """Kafka or Postgres was away; the same process goes on with what it suspects."""
    worker = new_worker("me")
    worker.claim()
    for _ in range(9):
        worker._store.mark_isolated(worker.progress)
        worker.claim()
    assert worker.progress.suspect
    assert worker.progress.deaths_in_isolation == 0
    work(worker, until=4)
    assert quarantine(database) == []


@pytest.fixture
def command(topics: str, database: str) -> Callable[..., Any]:
    """Runs `cerrojo quarantine` with these words."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": topics, "DATABASE_URL": database}
    return partial(cerrojo, env, "quarantine")


def listed(command: Callable[..., Any]) -> list[dict[str, Any]]:
    """What the command lists."""
    found: list[dict[str, Any]] = json.loads(command().stdout)["quarantine"]
    return found


def test_the_quarantine_is_listed_and_replayed(
    new_worker: NewWorker, topics: str, database: str, command: Callable[..., Any]
):
    """The same bytes stand in the same partition again; those that still cannot be read return."""
    assert listed(command) == []
    worker = new_worker()
    worker.claim()
    put(topics, b"junk", b"rubbish", encode(wrong("ana")))
    work(worker, until=4)
    first, _ = listed(command)
    assert [first[name] for name in ("partition", "generation", "offset", "bytes")] == [
        *(PARTITION, 1, 1, 4)
    ]
    assert first["at"].startswith("20")

    done = command("replay", str(PARTITION), "2")
    assert done.stdout == '{"appended":1,"refused":[]}\n', done.stderr
    work(worker, until=5)
    assert [(r[0], r[1], r[3]) for r in quarantine(database)] == [
        (1, b"junk", False),
        (2, b"rubbish", True),
        (4, b"rubbish", False),
    ]
    assert len(listed(command)) == 2

    assert command("replay", str(PARTITION + 1), "--all").stdout == '{"appended":0,"refused":[]}\n'
    done = command("replay", str(PARTITION), "--all")
    assert done.stdout == '{"appended":2,"refused":[]}\n'
    work(worker, until=7)
    assert {r[1] for r in quarantine(database) if not r[3]} == {b"junk", b"rubbish"}
    assert len(quarantine(database)) == 5


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("replay",), 2, "Name the record to replay by its partition and offset, or give --all,"),
        (("replay", "2", "1", "--all"), 2, "Name the record to replay"),
        (("replay", "2", "7"), 1, "The quarantine has no record from offset 7 of partition 2"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_a_sentence(
    command: Callable[..., Any], words: tuple[str, ...], code: int, sentence: str
):
    """With the code for it."""
    done = command(*words)
    assert done.returncode == code
    assert done.stderr.startswith(sentence)


def test_what_kafka_does_not_take_stays_listed(
    new_worker: NewWorker, topics: str, database: str, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is marked as replayed that does not stand in the log."""
    from workers.commands import quarantine as quarantine_command
    from workers.commands.errors import CommandError

    worker = new_worker()
    worker.claim()
    put(topics, b"junk")
    work(worker, until=2)
    monkeypatch.setattr(quarantine_command, "WAIT_SECONDS", 0.5)
    with pytest.raises(CommandError, match=r"0 records are .* all others stay listed"):
        quarantine_command.replay(
            Settings(database_url=database, kafka_bootstrap_servers="127.0.0.1:9"),
            *(None, None),
            all_=True,
        )
    assert [row[3] for row in quarantine(database)] == [False]


def test_many_are_replayed_one_batch_after_the_other(
    new_worker: NewWorker, topics: str, database: str, monkeypatch: pytest.MonkeyPatch
):
    """What the log has is marked, whatever becomes of the rest; what returns is not for this time.

    More than a client takes in were never all appended, and none was marked.
    """
    from workers.commands import quarantine as quarantine_command

    settings = Settings(database_url=database, kafka_bootstrap_servers=topics)
    append = quarantine_command._append
    ends = iter((5, None, 6, 7, 8))

    def decided_at_once(settings: Settings, signed: Any, *before: int) -> None:
        end = next(ends)
        if end is None:
            raise ZeroDivisionError
        append(settings, signed, *before)
        work(worker, until=end)

    worker = new_worker()
    worker.claim()
    put(topics, b"junk", b"rubbish", b"litter")
    work(worker, until=4)
    monkeypatch.setattr(quarantine_command, "BATCH", 1)
    monkeypatch.setattr(quarantine_command, "_append", decided_at_once)
    with pytest.raises(ZeroDivisionError):
        quarantine_command.replay(settings, None, None, all_=True)
    assert [row[3] for row in quarantine(database)] == [True, False, False, False]
    assert quarantine_command.replay(settings, None, None, all_=True).appended == 3
