"""Events by the relay, on a real Kafka and Postgres, of what real owners decide."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import psycopg
import pytest
from confluent_kafka import TopicPartition
from psycopg.types.json import Jsonb

from events.messages import Block, Deleted, Policy, SetPolicy, Unblock, encode, new_id
from events.partitioner import partition_of
from events.topics import EVENTS
from local.tcp_ports import choose
from processes import metrics
from sql.roles import OPERATOR, WORKERS
from tests.harness.owner import REPLIES, Owners, put, work, wrong
from tests.harness.receiver import Receiver
from tests.harness.waiting import wait_until
from tests.kafka import at, reader
from tests.paths import PROJECT
from tests.postgres import as_role
from workers.relay import webhooks
from workers.relay.delivery import Deliveries
from workers.relay.event import End
from workers.relay.journal import STATEMENT_MS, Cursor, Journal
from workers.relay.publisher import EventPublisher
from workers.relay.relay import Relay, lag_seconds
from workers.supervisor.relay_keeper import SPEC

PATIENCE_SECONDS = 60.0
POLICY = Policy(version=1, threshold=2, window_ms=60_000, block_ms=600_000, final_failures=0)

ANA, BEN = [f"user{n}" for n in range(100) if partition_of(f"user{n}", 4) == 0][:2]
CLEO = next(f"user{n}" for n in range(100) if partition_of(f"user{n}", 4) == 1)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader of a test may do something else for a while."""
    monkeypatch.setattr("workers.relay.journal.IDLE_MS", 120_000)


class Log:
    """Two partitions with their owners, and what was appended to them."""

    def __init__(self, owners: Owners, kafka: str, database: str, policy: Policy) -> None:
        self._kafka = kafka
        self._owners = [owners.new(database, f"owner {n}", policy, partition=n) for n in range(2)]
        self._ends = [0, 0]
        for owner in self._owners:
            owner.claim()
        for number in range(2):
            self._decide(number, 1)  # the first policy

    def __call__(self, *messages: Any) -> None:
        """Append these and decide them."""
        for number in range(2):
            mine = [encode(m) for m in messages if self._place(m) == number]
            put(self._kafka, *mine, partition=number)
            self._decide(number, len(mine))

    def _place(self, message: Any) -> int:
        return partition_of(message.user, 4) if hasattr(message, "user") else 0

    def _decide(self, number: int, more: int) -> None:
        self._ends[number] += more
        work(self._owners[number], self._ends[number])


@contextmanager
def log(kafka: str, database: str, policy: Policy = POLICY) -> Iterator[Log]:
    """Owners of two partitions under this policy."""
    with Owners(kafka) as owners:
        yield Log(owners, kafka, database, policy)


@contextmanager
def relay(kafka: str, database: str, journal: type[Journal] = Journal) -> Iterator[Relay]:
    """A relay that leads, by the workers' role."""
    url = as_role(database, WORKERS)
    mine, publisher, deliveries = journal(url), EventPublisher(at(kafka)), Deliveries(url)
    try:
        assert mine.lead()
        yield Relay(mine, publisher, deliveries)
    finally:
        publisher.close()
        deliveries.close()
        mine.close()


def records(kafka: str) -> list[tuple[str | None, dict[str, Any], int]]:
    """All events that were published: key, event, and when, in milliseconds."""
    consumer = reader(kafka)
    here = TopicPartition(EVENTS, 0, 0)
    bounds = consumer.get_watermark_offsets(here, timeout=PATIENCE_SECONDS)
    assert bounds is not None
    consumer.assign([here])
    found: list[tuple[str | None, dict[str, Any], int]] = []
    while len(found) < bounds[1]:
        for each in consumer.consume(bounds[1] - len(found), 1):
            assert each.error() is None
            key, value = each.key(), each.value()
            assert value is not None
            assert isinstance(key, bytes | None)
            found.append((key and key.decode(), msgspec.json.decode(value), each.timestamp()[1]))
    consumer.close()
    return found


def told(kafka: str) -> list[tuple[str, str | None]]:
    """The types and accounts of all events."""
    return [(event["type"], key) for key, event, _ in records(kafka)]


def await_told(kafka: str, number: int) -> list[tuple[str, str | None]]:
    """The same, as soon as there are so many."""
    due = time.monotonic() + PATIENCE_SECONDS
    while len(found := told(kafka)) < number:
        assert time.monotonic() < due, found
        time.sleep(0.05)
    return found


def block(user: str, length_ms: int = 0) -> Block:
    """An operator blocks this account."""
    return Block(new_id(), REPLIES, user, 4, 0, "olga", "stolen", length_ms)


def unblock(user: str) -> Unblock:
    """An operator lifts a block."""
    return Unblock(new_id(), REPLIES, user, 4, 0, "olga", "it was me")


def test_decisions_become_events_in_the_order_of_the_log(topics: str, database: str):
    """Of each account, with what the audit says; of a policy once, though each partition has it."""
    second = SetPolicy(new_id(), 0, msgspec.structs.replace(POLICY, version=2), "olga", "longer")
    with log(topics, database) as decide, relay(topics, database) as mine:
        last = msgspec.structs.replace(wrong(ANA, 4), source="192.0.2.7", user_agent="curl")
        decide(wrong(ANA, 4), last, wrong(CLEO, 4), unblock(ANA), block(ANA), block(ANA, 500_000))
        decide(second, unblock(CLEO), unblock(ANA))
        mine.step()
        assert not mine.step()
    assert told(topics) == [
        ("policy.changed", None),
        *[("account.blocked", ANA), ("account.unblocked", ANA)],
        *[("account.blocked", ANA), ("account.blocked", ANA)],
        ("policy.changed", None),
        ("account.unblocked", ANA),
    ]
    (_, first, _), (_, by_policy, _), (_, lifted, _), (_, by_hand, _), *_ = records(topics)
    assert first["data"] == {"version": 1, "operator": None, "reason": None}
    data = by_policy["data"]
    assert data["cause"] == "wrong_passwords"
    assert (data["source"], data["user_agent"]) == ("192.0.2.7", "curl")
    assert data["request"] == last.id.hex()
    assert by_policy["timestamp"] < data["until"]
    assert (lifted["data"]["operator"], lifted["data"]["reason"]) == ("olga", "it was me")
    assert (by_hand["data"]["cause"], by_hand["data"]["until"]) == ("operator", None)


class DiesError(Exception):
    """The process is killed here."""


class DyingJournal(Journal):
    """One whose process dies before it has noted what the brokers have."""

    def commit(self, *_: Any) -> None:
        raise DiesError


def test_a_death_between_publishing_and_noting_it_loses_nothing(topics: str, database: str):
    """The next leader publishes the same events again, with the same ids."""
    with log(topics, database) as decide:
        decide(block(ANA), unblock(ANA), block(BEN))
        with relay(topics, database, DyingJournal) as mine, pytest.raises(DiesError):
            mine.step()
        with relay(topics, database) as mine:
            mine.step()
            assert not mine.step()
    ids = [event["id"] for _, event, _ in records(topics)]
    assert len(ids) == 8
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4


def test_what_a_relay_was_too_late_for_is_in_order(topics: str, database: str):
    """A block ended and another one began before it looked: the end comes between them."""
    policy = msgspec.structs.replace(POLICY, block_ms=1)
    with log(topics, database, policy) as decide:
        decide(wrong(ANA, 4), wrong(ANA, 4))
        time.sleep(0.01)  # the block lasts a millisecond
        decide(wrong(ANA, 4), wrong(ANA, 4))
        with relay(topics, database) as mine:
            due = time.monotonic() + PATIENCE_SECONDS
            while len(told(topics)) < 5:
                mine.step()
                assert time.monotonic() < due
            mine.step()
    found = [(event["type"], event["id"]) for _, event, _ in records(topics)][1:]
    assert [kind for kind, _ in found] == ["account.blocked", "account.block_expired"] * 2
    assert len({id_ for _, id_ in found}) == 4


def test_only_a_block_that_ends_by_itself_expires(topics: str, database: str):
    """Not one that was lifted, replaced, or is for ever; and no deleted account's name is said."""
    policy = msgspec.structs.replace(POLICY, block_ms=1)
    with log(topics, database, policy) as decide, relay(topics, database) as mine:
        decide(block(ANA, 3_600_000), unblock(ANA), block(BEN, 1_000), block(BEN))
        decide(wrong(CLEO, 4), wrong(CLEO, 4))
        time.sleep(0.01)  # its block lasts a millisecond
        mine._publish_decided()
        decide(Deleted(new_id(), REPLIES, CLEO, 4))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE event_ends SET until_ms = 1 WHERE username <> %s", (CLEO,))
            due = time.monotonic() + PATIENCE_SECONDS
            while connection.execute("SELECT 1 FROM event_ends").fetchone():
                mine.step()
                assert time.monotonic() < due
    assert "account.block_expired" not in {kind for kind, _ in told(topics)}


@pytest.mark.parametrize("limit", ["journal.BATCHES", "relay.ROWS"])
def test_a_backlog_is_read_a_part_at_a_time(
    topics: str, database: str, monkeypatch: pytest.MonkeyPatch, limit: str
):
    """However little it reads at once, it has all of it, each once; and knows its lag."""
    monkeypatch.setattr(f"workers.relay.{limit}", 1)
    with log(topics, database) as decide, relay(topics, database) as mine:
        for _ in range(3):
            decide(block(ANA), block(CLEO), block(ANA))
        assert lag_seconds(mine._journal) > 0
        before, more = 0, True
        while more:  # what has no end would be too much for a leader's second
            more = mine.step()
            now = len(told(topics))
            assert limit != "relay.ROWS" or now - before <= 1
            before = now
        assert lag_seconds(mine._journal) == 0
    assert sorted(told(topics), key=str) == sorted(
        [
            ("policy.changed", None),
            *[("account.blocked", user) for user in (ANA, ANA, CLEO) for _ in range(3)],
        ],
        key=str,
    )


@pytest.mark.parametrize("limit", ["journal.BATCHES", "relay.ROWS"])
def test_a_backlog_of_an_old_generation_is_read_before_a_new_one(
    topics: str, database: str, monkeypatch: pytest.MonkeyPatch, limit: str
):
    """Else the lifting of a block would be told before the block, and then its end."""
    monkeypatch.setattr(f"workers.relay.{limit}", 2)
    with log(topics, database) as decide, relay(topics, database) as mine:
        for _ in range(3):
            decide(block(BEN))
        decide(block(ANA, 3_600_000), block(CLEO))
        decide(unblock(CLEO))
        with psycopg.connect(database, autocommit=True) as connection:
            # As after a resize, by which ANA has come into the other partition.
            connection.execute(
                "UPDATE audit SET username = %s, generation = 2 WHERE kind = 'unblock'", (ANA,)
            )
            connection.execute(
                "UPDATE audit_seals SET generation = 2 WHERE partition = 1"
                " AND to_offset = (SELECT max(to_offset) FROM audit_seals WHERE partition = 1)"
            )
            connection.execute("UPDATE partition_progress SET generation = 2 WHERE partition = 1")
            while mine.step():
                pass
            assert connection.execute("SELECT * FROM event_ends").fetchall() == []
    found = told(topics)
    assert [kind for kind, user in found if user == ANA] == ["account.blocked", "account.unblocked"]
    assert len(found) == 7


def test_an_end_that_is_not_told_is_late_and_one_to_come_is_not(database: str):
    """Else the alert would be silent while ends wait."""
    journal = Journal(as_role(database, WORKERS))
    now = journal.now_ms()
    journal.commit([], {ANA: End(now + 3_600_000, now, 0, 1, 1)}, [], [])
    assert lag_seconds(journal) == 0
    journal.commit([], {BEN: End(now - 60_000, now - 90_000, 0, 1, 2)}, [], [])
    assert lag_seconds(journal) >= 60
    journal.close()


def test_an_end_opens_the_days_of_the_blocks_that_end_and_no_others(database: str):
    """It is looked for four times a second, and an audit may have a year of days."""
    now_ms = round(time.time() * 1000)
    tomorrow = datetime.fromtimestamp(now_ms / 1000 + 86_400, UTC)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SELECT make_audit_partitions(7)")
        for offset, (user, name) in enumerate(((ANA, ANA), (BEN, ""))):
            owner.execute(
                "INSERT INTO event_ends VALUES (%s, 5, %s, 0, 1, %s)", (user, now_ms, offset)
            )
            owner.execute(
                "INSERT INTO audit VALUES (%s, 0, 1, %s, '', '', %s, true, 0, 0, 0, 1, 0)",
                (now_ms, offset, name),
            )
    journal = Journal(as_role(database, WORKERS))
    with psycopg.connect(database) as other:
        other.execute(f"LOCK TABLE audit_{tomorrow:%Y%m%d}")
        found = journal.due(5)
    journal.close()
    assert found == [(ANA, End(5, now_ms, 0, 1, 0), True), (BEN, End(5, now_ms, 0, 1, 1), False)]


def test_between_statements_there_is_a_sign_of_life(database: str):
    """None may take as long as the silence after which the process is killed, all of them may."""
    assert SPEC.silence_timeout is not None
    assert SPEC.silence_timeout * 1000 >= 3 * STATEMENT_MS
    beats: list[int] = []
    journal = Journal(as_role(database, WORKERS), lambda: beats.append(1))
    before = len(beats)
    journal.commit([Cursor(0, 1, 99)], {ANA: End(1, 1, 0, 1, 1)}, [BEN], [])
    assert len(beats) >= before + 3
    journal.close()


def test_brokers_that_are_away_are_waited_for(topics: str, database: str):
    """However long; meanwhile the process says that it lives, and can be stopped."""
    waited: list[int] = []

    def alive() -> None:
        waited.append(len(waited))
        if len(waited) == 3:
            raise DiesError

    url = as_role(database, WORKERS)
    with ExitStack() as stack, psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT note_operator_login('olga', 'operate', NULL)")
        journal, deliveries = Journal(url), Deliveries(url)
        publisher = EventPublisher(at(f"127.0.0.1:{choose('127.0.0.1')}"))
        for each in (journal, deliveries, publisher):
            stack.callback(each.close)
        assert journal.lead()
        with pytest.raises(DiesError):
            Relay(journal, publisher, deliveries, alive).step()
        assert connection.execute("SELECT count(*) FROM event_notes").fetchone() == (1,)
    with relay(topics, database) as mine:
        mine.step()
    assert told(topics) == [("operator.login", None)]


def test_what_operator_ports_note_becomes_events_once(topics: str, database: str):
    """A login, and an attack as the first gateway saw it; also after a death in between."""
    port = as_role(database, OPERATOR)
    what = {"failed_accounts": 9, "succeeded_accounts": 1}
    with psycopg.connect(port, autocommit=True) as one, psycopg.connect(port) as other:
        note = "SELECT note_attack(%s, %s)"
        begun = Jsonb(what | {"sources": ["192.0.2.7"], "accounts": [ANA]})
        assert one.execute(note, (True, begun)).fetchone() == (True,)
        assert other.execute(note, (True, begun)).fetchone() == (False,)
        other.commit()
        one.execute("SELECT note_operator_login('olga', 'operate', '192.0.2.8')")
        assert one.execute(note, (False, Jsonb(what))).fetchone() == (True,)
    with relay(topics, database, DyingJournal) as mine, pytest.raises(DiesError):
        mine.step()
    with relay(topics, database) as mine:
        mine.step()
        mine.step()
    found = [event for _, event, _ in records(topics)]
    assert found[:3] == found[3:]
    began, login, ended = found[:3]
    assert [event["type"] for event in found[:3]] == [
        *("attack.began", "operator.login", "attack.ended")
    ]
    assert began["data"]["accounts"] == [ANA]
    assert login["data"] == {"operator": "olga", "role": "operate", "source": "192.0.2.8"}
    since = msgspec.convert(ended["data"]["since"], datetime)
    assert since <= msgspec.convert(login["timestamp"], datetime)


@pytest.mark.parametrize("begun", ["", "BEGIN"], ids=["between two", "in a transaction"])
def test_a_leader_that_says_nothing_is_followed_and_commits_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch, begun: str
):
    """Frozen, cut off or on a host that is gone: the server ends its session by itself."""
    frozen, next_ = Journal(database), Journal(database)
    assert frozen.lead()
    assert not next_.lead()
    monkeypatch.setattr("workers.relay.journal.IDLE_MS", 1_000)
    assert frozen.lead()  # with the limit
    if begun:
        frozen._connection.execute("BEGIN")
    due = time.monotonic() + PATIENCE_SECONDS
    while not next_.lead():
        assert time.monotonic() < due
        time.sleep(0.05)
    with pytest.raises(psycopg.Error):
        frozen.commit([Cursor(0, 1, 99)], {ANA: End(1, 1, 0, 1, 1)}, [], [])
    assert next_.ends_of([ANA]) == {}
    frozen.close()
    next_.close()


@contextmanager
def relay_process(
    kafka: str, database: str, said: IO[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process that a host's supervisor keeps."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.relay"],
        cwd=PROJECT,
        env=os.environ
        | {
            "DATABASE_URL": as_role(database, WORKERS),
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
        },
        stdout=said,
        stderr=said,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGKILL)


def test_a_leader_that_waits_for_brokers_says_so_and_how_late_events_are(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The alert and the runbook rely on it, also where there is no other host."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT note_operator_login('olga', 'operate', NULL)")
    nobody = f"127.0.0.1:{choose('127.0.0.1')}"
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path))

    def late() -> bool:
        samples = [sample for family in metrics.families() for sample in family.samples]
        return any(s.value > 6 for s in samples if s.name == "cerrojo_events_lag_seconds")

    with (
        (tmp_path / "log").open("w+") as said,
        relay_process(nobody, database, said),
    ):
        wait_until(late)
        wait_until(lambda: "Events wait" in (tmp_path / "log").read_text())


def began_to_lead(log: Path) -> str:
    """The last line, which begins with the time, by which this process says that it leads."""
    return max((x for x in log.read_text().splitlines() if "publishes the events" in x), default="")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_block_expires_once_and_not_early_whichever_host_is_alive(
    topics: str, database: str, tmp_path: Path, how: signal.Signals
):
    """The leader dies or freezes while the block lasts, and another host tells its end."""
    with log(topics, database) as decide, Receiver() as receiver, ExitStack() as stack:
        with psycopg.connect(database) as connection:
            webhooks.add(connection, "siem", receiver.url, "cerrojo")
        hosts: dict[Path, subprocess.Popen[bytes]] = {}
        for said in (tmp_path / "one", tmp_path / "other"):
            file = stack.enter_context(said.open("w"))
            hosts[said] = stack.enter_context(relay_process(topics, database, file))
        decide(block(ANA, 3_600_000))
        assert ("account.blocked", ANA) in await_told(topics, 2)
        with psycopg.connect(database, autocommit=True) as connection:
            ends = "SELECT 1 FROM event_ends"
            wait_until(lambda: connection.execute(ends).fetchone() is not None)
            leader = hosts[max(hosts, key=began_to_lead)]
            leader.send_signal(how)
            # Its end comes only when the leader is gone.
            connection.execute(
                "UPDATE event_ends SET until_ms = 500 + extract(epoch FROM now()) * 1000"
            )
        assert ("account.block_expired", ANA) in await_told(topics, 3)
        leader.send_signal(signal.SIGCONT)
        decide(block(BEN))
        told_in_order = [event["id"] for _, event, _ in records(topics)]
        wait_until(lambda: len(set(receiver.ids)) == 4)
    assert [*dict.fromkeys(receiver.ids)][:3] == [*dict.fromkeys(told_in_order)][:3]
    published = {event["id"]: (event, at_ms) for _, event, at_ms in records(topics)}
    kinds = [event["type"] for event, _ in published.values()]
    assert kinds.count("account.block_expired") == 1
    [(end, at_ms)] = [
        (msgspec.convert(event["timestamp"], datetime), at_ms)
        for event, at_ms in published.values()
        if event["type"] == "account.block_expired"
    ]
    assert at_ms >= end.timestamp() * 1000
