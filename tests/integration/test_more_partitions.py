"""Partitions become more, and no attempt is out of order: owners step by step, on real servers.

There is one partition at first, and then there are two. The account's is 0 in the small layout and
1 in the large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from events import beginning
from events.__main__ import main as events_main
from events.messages import (
    Attempt,
    Blocked,
    Decision,
    Policy,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    decode_attempts,
    encode,
    new_id,
)
from events.partitioner import partition_of
from events.topics import ATTEMPTS
from sql.migrate import migrate
from tests.harness.owner import (
    REPLIES,
    Owners,
    go_on,
    news,
    put,
    read_all,
    verdicts,
    work,
    wrong,
)
from workers.partition.worker import FencedError, Worker

ANNA = "anna"
SMALL, LARGE = 1, 2
IN_FORCE = Policy(version=7)
OTHERS = Policy(version=1, threshold=99)
"""The policy in the settings of the new partition's host."""

KEPT = (
    "SELECT partition, generation, log_offset, appended_ms, id, kind, username, decision, until_ms,"
    " change, policy_version FROM audit ORDER BY partition, log_offset",
    "SELECT username, in_a_row, blocked_until_ms, partition, generation, log_offset"
    " FROM lock_states",
    "SELECT partition, generation, next_offset, layout, policy FROM partition_progress ORDER BY 1",
    "SELECT partitions, wanted FROM topology",
)


def right(partitions: int) -> Attempt:
    """The account's right password."""
    return Attempt(new_id(), REPLIES, ANNA, True, partitions)


def set_layout(layout: int = LARGE) -> SetLayout:
    """The record that makes a partition enter a layout."""
    return SetLayout(new_id(), REPLIES, layout)


def ask(database_url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows that the database gives."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(query).fetchall()


def kept(database_url: str) -> list[list[tuple[Any, ...]]]:
    """Everything that follows from the logs."""
    return [ask(database_url, query) for query in KEPT]


def decisions(kafka: str, *attempts: Attempt) -> list[Decision]:
    """The verdicts on these."""
    said = {verdict.id: verdict.decision for verdict in verdicts(kafka)}
    return [said[attempt.id] for attempt in attempts]


def enter(*workers: Worker) -> None:
    """Go on until they decide nothing of the small layout any more."""
    for worker in workers:
        go_on(worker, lambda progress: progress.layout >= LARGE)


def stay(worker: Worker) -> None:
    """Some turns of one who waits."""
    assert worker.progress is not None
    position = worker.progress.position
    for _ in range(3):
        assert worker.run_once()
    worker.flush()
    assert worker.progress.position == position, "it did not wait"


def look_now(worker: Worker) -> None:
    """A turn with a heartbeat, for which it looks what is wanted."""
    worker._heartbeat_at = 0.0
    assert worker.run_once()
    worker._heartbeat_at = float("inf")  # one look, however slow the machine is
    worker.flush()


@pytest.fixture
def one(database: str) -> str:
    """A database that says that one partition is used."""
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE topology SET partitions = %s", (SMALL,))
    assert [partition_of(ANNA, n) for n in (SMALL, LARGE)] == [0, 1]
    return database


@pytest.fixture
def owners(topics: str) -> Iterator[Owners]:
    """Makes owners of the partitions."""
    with Owners(topics) as owners:
        yield owners


@pytest.fixture
def empty(database_url: str) -> str:
    """A second database of this test's own, in which nothing has been decided."""
    migrate(database_url)
    return database_url


@pytest.fixture
def prepare(
    topics: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, int], str]:
    """The output of `python -m events` for this database, with this number of partitions."""

    def prepare(database_url: str, setting: int) -> str:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", topics)
        monkeypatch.setenv("CERROJO_PARTITIONS", str(setting))
        assert events_main() == 0
        return capsys.readouterr().out

    return prepare


def old_and_new(owners: Owners, database_url: str) -> tuple[Worker, Worker]:
    """Owners of both partitions; the old one has a policy that no settings know."""
    old = owners.new(database_url, "old", IN_FORCE, partition=0)
    old.claim()
    work(old, until=1)
    new = owners.new(database_url, "new", OTHERS, partition=1)
    new.claim()
    work(new, until=1)
    for worker in (old, new):
        worker._heartbeat_at = float("inf")  # they do not look yet what is wanted
    return old, new


def test_attempts_in_the_new_partition_wait_for_those_in_the_old_one(
    owners: Owners, one: str, topics: str
):
    """The fifth wrong one stands in another log than the first, and still is the fifth."""
    old, new = old_and_new(owners, one)
    first = [wrong(ANNA, SMALL) for _ in range(3)]
    last = [wrong(ANNA, LARGE), wrong(ANNA, LARGE), right(LARGE)]
    put(topics, *map(encode, [set_layout(), *last]), partition=1)
    put(topics, *map(encode, first), partition=0)
    enter(new)
    stay(new)
    work(old, until=4)
    put(topics, encode(set_layout()), partition=0)
    stay(new)
    enter(old)
    work(new, until=5)
    assert decisions(topics, *first, *last) == [Decision.REJECTED] * 5 + [Decision.BLOCKED]
    assert ask(one, KEPT[3]) == [(LARGE, LARGE)]


def test_a_frozen_gateways_late_attempt_is_not_decided(owners: Owners, one: str, topics: str):
    """It wakes up after the change and writes where the account was before; it has to ask again."""
    old, new = old_and_new(owners, one)
    put(topics, encode(wrong(ANNA, SMALL)), encode(set_layout()), partition=0)
    put(topics, encode(set_layout()), encode(right(LARGE)), partition=1)
    enter(old, new)
    work(new, until=3)
    late = [wrong(ANNA, SMALL) for _ in range(5)]
    put(topics, *map(encode, late), partition=0)
    work(old, until=8)
    assert decisions(topics, *late) == [Decision.MOVED] * 5
    assert ask(one, KEPT[1]) == [], "what was not decided counted"


def test_positions_of_a_moved_account_go_on_rising(owners: Owners, one: str, topics: str):
    """Its block is news to every gateway, although its new partition has just begun."""
    old, new = old_and_new(owners, one)
    others = [wrong("eve", SMALL) for _ in range(10)]
    block = [wrong(ANNA, SMALL) for _ in range(5)]
    put(topics, *map(encode, [*others, *block, set_layout()]), partition=0)
    put(topics, encode(set_layout()), encode(Unblock(new_id(), REPLIES, ANNA, LARGE)), partition=1)
    enter(old, new)
    work(new, until=3)
    blocked, unblocked = [m for m in news(topics) if getattr(m, "user", "") == ANNA]
    assert isinstance(blocked, Blocked)
    assert isinstance(unblocked, Unblocked)
    assert unblocked.position > blocked.position
    assert unblocked.position.offset < blocked.position.offset


def test_an_account_that_comes_back_has_all_that_counted_elsewhere(
    owners: Owners, one: str, topics: str
):
    """The partition's owner is the same still, and had its state from before."""
    names = (f"ana{n}" for n in range(100))
    user = next(u for u in names if [partition_of(u, n) for n in (1, 2, 3)] == [0, 1, 0])
    old, new = old_and_new(owners, one)
    third = owners.new(one, "third", OTHERS, partition=2)
    third.claim()
    work(third, until=1)
    put(topics, encode(wrong(user, 1)), encode(set_layout(2)), partition=0)
    put(topics, encode(set_layout(2)), encode(wrong(user, 2)), partition=1)
    enter(old, new)
    work(new, until=3)
    put(topics, encode(set_layout(3)), encode(wrong(user, 3)), partition=0)
    for partition in (1, 2):
        put(topics, encode(set_layout(3)), partition=partition)
    for worker in (old, new, third):
        go_on(worker, lambda progress: progress.layout >= 3)
    work(old, until=5)
    [(name, in_a_row, *_)] = ask(one, KEPT[1])
    assert (name, in_a_row) == (user, 3)


def test_a_new_partition_begins_with_the_policy_that_is_in_force(
    owners: Owners, one: str, topics: str
):
    """And not with what the settings of its host say."""
    _, new = old_and_new(owners, one)
    assert new.progress is not None
    assert new.progress.policy == IN_FORCE
    said = decode_attempts(read_all(topics, ATTEMPTS, 1)[0])
    assert isinstance(said, SetPolicy)
    assert said.policy == IN_FORCE


def test_owners_bring_a_wanted_layout_about_by_themselves(owners: Owners, one: str, topics: str):
    """The new partition comes first. A command that died is not missed; who ran it is known."""
    old, new = old_and_new(owners, one)
    asked = {"partitions": LARGE, "operator": "cleo@host", "reason": "more hosts"}
    with psycopg.connect(one) as connection:
        wanted = "UPDATE topology SET wanted = %s, asked = %s"
        connection.execute(wanted, (LARGE, Jsonb(asked)))
    look_now(old)
    assert len(read_all(topics, ATTEMPTS, 0)) == 1, "the old partition did not wait for the new one"
    look_now(new)
    enter(new)
    look_now(old)
    enter(old)
    assert ask(one, KEPT[3]) == [(LARGE, LARGE)]
    for worker in (old, new):
        work(worker, until=2)
        assert worker.progress is not None
        assert worker.progress.position == (2, 2)
    said = "SELECT partition, operator, reason FROM audit WHERE kind = 'layout' ORDER BY partition"
    assert ask(one, said) == [(0, "cleo@host", "more hosts"), (1, "cleo@host", "more hosts")]


def test_who_takes_over_waits_too_and_who_was_replaced_enters_nothing(
    owners: Owners, one: str, topics: str
):
    """An owner that dies while it waits, and one that wakes up before the layout's record."""
    old, new = old_and_new(owners, one)
    attempt = right(LARGE)
    put(topics, encode(set_layout()), encode(attempt), partition=1)
    enter(new)
    successor = owners.new(one, "successor", partition=1)
    successor.claim()
    stay(successor)
    put(topics, encode(set_layout()), partition=0)
    heir = owners.new(one, "heir", partition=0)
    heir.claim()
    with pytest.raises(FencedError):
        enter(old)
    assert ask(one, KEPT[3])[0][0] == SMALL
    enter(heir)
    work(successor, until=3)
    assert decisions(topics, attempt) == [Decision.ACCEPTED]


@pytest.mark.parametrize("setting", [SMALL, LARGE])
def test_an_empty_database_comes_to_the_same_in_whatever_order_the_logs_are_read(
    owners: Owners,
    one: str,
    topics: str,
    empty: str,
    setting: int,
    prepare: Callable[[str, int], str],
):
    """The new partition's owner is the first there, and waits at the same record.

    Also where the settings say by now how many partitions there became.
    """
    old, new = old_and_new(owners, one)
    put(topics, *(encode(wrong(ANNA, SMALL)) for _ in range(3)), partition=0)
    put(topics, encode(set_layout()), encode(wrong(ANNA, SMALL)), partition=0)
    put(topics, encode(set_layout()), partition=1)
    enter(old, new)
    work(old, until=6)
    put(topics, *(encode(wrong(ANNA, LARGE)) for _ in range(3)), partition=1)
    work(new, until=5)

    prepare(empty, setting)
    first, second = (owners.new(empty, f"again {n}", partition=n) for n in (1, 0))
    first.claim()
    second.claim()
    enter(first)
    stay(first)
    enter(second)
    for partition, workers in enumerate(((old, second), (new, first))):
        for worker in workers:
            work(worker, until=len(read_all(topics, ATTEMPTS, partition)))
    assert kept(empty) == kept(one)


def test_a_log_that_has_lost_the_layouts_record_is_read_all_the_same(
    owners: Owners, one: str, topics: str
):
    """Retention took it: the first attempt of the larger layout says the same."""
    old, new = old_and_new(owners, one)
    attempts = [wrong(ANNA, LARGE), Attempt(new_id(), REPLIES, "ana", True, LARGE)]
    put(topics, encode(attempts[0]), partition=1)
    enter(new)
    stay(new)
    put(topics, encode(attempts[1]), partition=0)
    enter(old)
    for worker in (old, new):
        work(worker, until=2)
    assert decisions(topics, *attempts) == [Decision.REJECTED, Decision.ACCEPTED]


def test_a_log_says_by_itself_with_how_many_partitions_it_begins(
    topics: str, empty: str, prepare: Callable[[str, int], str]
):
    """The least of what the partitions begin with, past what does not say it."""
    dumb = [b"junk", encode(SetPolicy(new_id(), REPLIES, IN_FORCE)), encode(wrong(ANNA))]
    put(topics, *dumb, encode(wrong(ANNA, 4)), encode(set_layout(3)), partition=0)
    put(topics, *dumb, encode(wrong("eve", 3)), encode(set_layout(4)), partition=1)
    put(topics, *dumb, partition=2)
    said = prepare(empty, 4)
    assert "begins with 3 partitions and not with CERROJO_PARTITIONS=4" in said
    assert ask(empty, KEPT[3]) == [(3, 0)]
    assert "3 partitions of attempts are used; 1 more" in prepare(empty, 4), "it was settled"


def test_of_a_log_without_its_start_the_first_records_that_are_left_say_it(
    owners: Owners, topics: str, empty: str, prepare: Callable[[str, int], str]
):
    """Nothing is left that the larger layout would have to wait for."""
    put(topics, encode(wrong(ANNA, SMALL)), encode(wrong(ANNA, LARGE)), partition=0)
    owners.delete_before(1, partition=0)
    assert "2 partitions" in prepare(empty, 4)


def test_where_the_log_does_not_say_it_the_settings_do(
    topics: str, empty: str, prepare: Callable[[str, int], str], monkeypatch: pytest.MonkeyPatch
):
    """As at the first start; and nobody reads a whole log to find out."""
    monkeypatch.setattr(beginning, "MAX_RECORDS", 3)
    put(topics, *[b"junk"] * 3, encode(wrong(ANNA, SMALL)), partition=0)
    assert prepare(empty, 4) == "The topics exist; 4 partitions of attempts are used.\n"
