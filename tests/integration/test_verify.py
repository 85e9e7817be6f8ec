"""Verifying the audit, on a real Postgres: right ones are right, and no row can be changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from struct import pack

import msgspec
import psycopg
import pytest

from events.messages import Attempt, AttemptsMessage, Deleted, Policy, SetPolicy, Unblock, encode
from events.messages import new_id as new
from events.signatures import Opener, Sealer
from events.signing_keys import KeyFile, make
from local.servers import Servers
from oracle.verify import ALL, AUDIT_LOG, Range, Report, verify
from tests.harness.command import cerrojo, said
from tests.harness.waiting import wait_until
from tests.postgres import temporary_database
from workers.decision.batch import Record, decide, decode, users_of
from workers.partition.store import Progress, Store
from workers.supervisor.retention import apply_retention

NOW = 1_795_491_529_733
DAY_MS = 86_400_000
POLICY = Policy(1, threshold=3)
UNSIGNED = Opener(None, AUDIT_LOG)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
"""Sessions that wait for another one."""

TAMPERED = ("audit", "audit_seals", "partition_progress")
"""What the tests of changes by hand may leave changed."""

Open = Callable[[int], Store]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    """The workers'."""
    folder = tmp_path_factory.mktemp("keys")
    make(folder)
    return KeyFile(folder, "workers")


@pytest.fixture
def open_store(database: str, keys: KeyFile) -> Iterator[Open]:
    """Opens the stores of partitions, which sign."""
    opened = []

    def open_one(partition: int) -> Store:
        store = Store(database, partition, Sealer(keys, AUDIT_LOG))
        store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    """That of partition 2."""
    return open_store(2)


def commit(
    store: Store, progress: Progress, *messages: AttemptsMessage, at: int = NOW, layout: int = 0
) -> Progress:
    """The progress after a batch of these."""
    start = progress.next_offset
    records = [
        Record(start + n, at + start + n, b"key", encode(message))
        for n, message in enumerate(messages)
    ]
    decoded = decode(records)
    batch = decide(start, decoded, store.states(users_of(decoded)), progress.policy, layout)
    assert store.apply(progress, batch)
    return progress._replace(next_offset=batch.to_offset, policy=batch.policy)


def attempt(user: str, right: bool, device: bytes | None = None) -> Attempt:
    """From somewhere."""
    guess = None if right else b"g" * 8
    return Attempt(new(), 1, user, right, 0, 0, "192.0.2.7", "curl", device, guess)


def some_batches(store: Store) -> Progress:
    """A policy, ana's block and its end by an operator, and logins that change nothing."""
    progress = store.claim("me")
    progress = commit(store, progress, SetPolicy(new(), 0, POLICY), attempt("ana", False))
    progress = commit(
        *(store, progress, attempt("bob", True), attempt("ana", False), attempt("ana", False)),
        attempt("ana", True, b"d" * 16),
    )
    lifted = Unblock(new(), 1, "ana", operator="cleo", reason="ñandú: she called")
    progress = commit(store, progress, attempt("ana", True), lifted)
    return commit(store, progress, attempt("ana", True))


def verified(database: str, keys: KeyFile, within: Range = ALL) -> Report:
    """What is found in it."""
    return verify(database, Opener(keys, AUDIT_LOG), within)


def run(database: str, *statements: str, values: Sequence[object] = ()) -> None:
    """By hand."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            assert connection.execute(statement, values or None).rowcount != 0, statement


@pytest.fixture(scope="module")
def sealed_once(servers: Servers, migrated: str, keys: KeyFile) -> Iterator[str]:
    """A database with some batches, and a copy of them."""
    with temporary_database(servers, migrated) as url:
        store = Store(url, 2, Sealer(keys, AUDIT_LOG))
        store.open()
        some_batches(store)
        store.close()
        run(url, *(f"CREATE TABLE kept_{table} AS TABLE {table}" for table in TAMPERED))
        yield url


@pytest.fixture
def sealed(sealed_once: str, keys: KeyFile) -> Iterator[str]:
    """The same for each test that changes something in it by hand."""
    assert verified(sealed_once, keys).differences == []
    yield sealed_once
    with psycopg.connect(sealed_once) as connection:
        for table in TAMPERED:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} TABLE kept_{table}")


def test_an_audit_as_it_was_written_is_right(store: Store, database: str, keys: KeyFile):
    """And everything in it is judged, as it begins with the log."""
    some_batches(store)
    report = verified(database, keys)
    assert report.differences == []
    assert (report.batches, report.rows, report.judged, report.unjudged) == (4, 9, 9, 0)
    assert (report.blocks, report.unblocks, report.expiries, report.unsealed) == (1, 1, 0, 0)
    assert report.signed
    unchecked = verify(database, UNSIGNED)
    assert (unchecked.differences, unchecked.signed) == ([], False)


COLUMNS = {
    "appended_ms": "appended_ms + 1",
    "partition": "partition + 1",
    "generation": "generation + 1",
    "log_offset": "log_offset + 100",
    "id": "sha256(id)",
    "kind": "'registered'",
    "username": "'eve'",
    "right_password": "NOT right_password",
    "decision": "decision + 1",
    "until_ms": "until_ms + 1",
    "change": "change + 1",
    "policy_version": "policy_version + 1",
    "reply_partition": "reply_partition + 1",
    "source": "NULL",
    "user_agent": "'wget'",
    "delayed_ms": "delayed_ms + 1",
    "device": "sha256('device')",
    "guess": "NULL",
    "salt": "sha256(salt)",
    "operator": "'eve'",
    "reason": "'another'",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_of_a_row_can_be_changed_by_hand(sealed: str, keys: KeyFile, column: str):
    """Whether it decides anything or not; the place of the row or its batch is told."""
    change = f"UPDATE audit SET {column} = {COLUMNS[column]} WHERE log_offset = 3"
    run(sealed, change)
    for opener in (UNSIGNED, Opener(keys, AUDIT_LOG)):
        first, *_ = verify(sealed, opener).differences
        assert first.place.offset in (2, 3)


def test_every_column_is_tried(sealed: str):
    """A new one has to be sealed, too."""
    with psycopg.connect(sealed) as connection:
        columns = connection.execute("SELECT * FROM audit LIMIT 0").description or ()
    assert {column.name for column in columns} == COLUMNS.keys()


@pytest.mark.parametrize("offset", range(9))
def test_no_row_can_be_deleted_by_hand(sealed: str, keys: KeyFile, offset: int):
    """Also not an accepted login, after which everything is as it would be without it."""
    run(sealed, f"DELETE FROM audit WHERE log_offset = {offset}")
    assert any("rows were deleted" in each.sentence for each in verified(sealed, keys).differences)
    assert verify(sealed, UNSIGNED).differences


@pytest.mark.parametrize(
    "place",
    [
        *("2, 1, 1000", "2, 1, 9", "2, 2, 2", "2, 0, 2", "3, 1, 2", "2, 1, -1"),
        *("0, 1, 0", "2, 1, 5"),
    ],
)
@pytest.mark.parametrize("salt", ["salt", "NULL"])
def test_no_row_can_be_inserted_by_hand(sealed: str, keys: KeyFile, place: str, salt: str):
    """In any place, by the look of another row; one also in the place of a quarantined record."""
    store = Store(sealed, 2, Sealer(keys, AUDIT_LOG))
    store.open()
    commit(store, store.claim("me"), attempt("bob", True))
    store.close()
    if place == "2, 1, 5":
        run(sealed, "DELETE FROM audit WHERE log_offset = 5")
    columns = "id, kind, username, right_password, decision, until_ms, change, policy_version"
    columns += ", reply_partition, source, user_agent, delayed_ms, device, guess"
    run(
        sealed,
        f"INSERT INTO audit (partition, generation, log_offset, appended_ms, {columns}, salt)"
        f" SELECT {place}, appended_ms + 1, {columns}, {salt} FROM audit WHERE log_offset = 2",
    )
    assert verified(sealed, keys).differences


def test_two_rows_cannot_change_places(sealed: str, keys: KeyFile):
    """One after the other is the whole of the promise."""
    run(
        sealed,
        "UPDATE audit SET log_offset = 103 - log_offset WHERE log_offset IN (3, 4)",
        "UPDATE audit SET log_offset = log_offset - 96 WHERE log_offset >= 99",
    )
    assert verified(sealed, keys).differences


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_seals WHERE to_offset = 6",
        "DELETE FROM audit_seals WHERE to_offset = 2",
        "DELETE FROM audit_seals WHERE to_offset = 9",
        "DELETE FROM audit_seals",
        "UPDATE audit_seals SET seal = overlay(seal PLACING '\\x00' FROM 45) WHERE to_offset = 6",
        "UPDATE audit_seals SET last_ms = 0, first_ms = 0 WHERE to_offset = 6",
        "UPDATE audit_seals SET to_offset = 5 WHERE to_offset = 6",
        "UPDATE partition_progress SET last_seal = NULL",
    ],
)
def test_no_seal_can_be_changed_or_deleted(sealed: str, keys: KeyFile, change: str):
    """Nor where the newest one is known."""
    run(sealed, change)
    assert verified(sealed, keys).differences
    assert verify(sealed, UNSIGNED).differences


@pytest.mark.parametrize("offsets", [(0, 2), (2, 6), (8, 9)])
def test_no_batch_can_be_deleted_with_its_seal(
    sealed: str, keys: KeyFile, offsets: tuple[int, int]
):
    """The first one, one between others, and the last one."""
    run(
        sealed,
        f"DELETE FROM audit WHERE log_offset >= {offsets[0]} AND log_offset < {offsets[1]}",
        f"DELETE FROM audit_seals WHERE to_offset = {offsets[1]}",
    )
    assert verified(sealed, keys).differences
    assert verify(sealed, UNSIGNED).differences


def test_somebody_without_the_key_cannot_seal(store: Store, database: str, keys: KeyFile):
    """With all of Postgres in hand: the whole chain is made anew, and has no signature."""
    some_batches(store)
    run(database, "DELETE FROM audit", "DELETE FROM audit_seals")
    run(database, "UPDATE partition_progress SET next_offset = 0, policy = NULL, last_seal = NULL")
    forger = Store(database, 2)
    forger.open()
    some_batches(forger)
    forger.close()
    assert verify(database, UNSIGNED).differences == []
    assert "no signature" in verified(database, keys).differences[0].sentence


def test_a_deletion_takes_the_name_and_the_audit_stays_right(
    store: Store, database: str, keys: KeyFile
):
    """Its seals hold, and what was written of the person is nowhere any more."""
    progress = some_batches(store)
    progress = commit(store, progress, Deleted(new(), 1, "ana"))
    progress = commit(store, progress, attempt("ana", False), attempt("bob", True))
    report = verified(database, keys)
    assert report.differences == []
    assert (report.judged, report.unjudged) == (4, 8)
    run(database, "DELETE FROM audit WHERE kind = 'deleted'")
    assert verified(database, keys).differences


def test_a_deletion_takes_the_name_from_what_came_late_to_another_partition(
    open_store: Open, database: str, keys: KeyFile
):
    """Of a gateway that knew nothing of a resize: it was not decided, and has name and source."""
    here, there = open_store(2), open_store(3)
    progress, other = here.claim("me"), there.claim("me")
    late = msgspec.structs.replace(attempt("ana", True), partitions=3)
    commit(there, other, late, layout=4)
    progress = commit(here, progress, attempt("ana", True))
    commit(here, progress, Deleted(new(), 1, "ana"))
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT username, source, decision FROM audit ORDER BY decision")
        assert rows.fetchall() == [("", None, 0), ("", None, 0), ("", None, 3)]
    assert verified(database, keys).differences == []
    run(database, "UPDATE audit SET decision = 0 WHERE partition = 3")
    said = [found.sentence for found in verified(database, keys).differences]
    assert "no deletion came after it" in said[-1]


def test_a_deletion_that_is_under_way_is_no_difference(store: Store, database: str, keys: KeyFile):
    """More rows than one commit takes the name out of: some have it still."""
    progress = some_batches(store)
    for _ in range(3):
        progress = commit(store, progress, *(attempt("ana", False) for _ in range(500)))
    progress = commit(store, progress, Deleted(new(), 1, "ana"))
    if store.states(["ana"]):  # it is blocked: an operator helps first
        progress = commit(store, progress, Unblock(new(), 1, "ana"))
        progress = commit(store, progress, Deleted(new(), 1, "ana"))
    commit(store, progress, attempt("ana", False))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM erasures").fetchone() == (1,)
    assert verified(database, keys).differences == []
    apply_retention(database, 0)
    assert verified(database, keys).differences == []


def test_two_deletions_at_once_empty_each_row_once(store: Store, database: str, keys: KeyFile):
    """A name is deleted again while retention takes it out: a salt of a salt accused for good."""
    progress = some_batches(store)
    erase = f"SELECT erase_name('ana', 2, 1, {progress.next_offset}, 1000)"
    with ThreadPoolExecutor(1) as threads, psycopg.connect(database) as retention:
        retention.execute(erase)
        second = threads.submit(run, database, erase)
        with psycopg.connect(database, autocommit=True) as watching:
            wait_until(lambda: watching.execute(WAITING).fetchone() == (1,))
        retention.commit()
        second.result()
    commit(store, progress, Deleted(new(), 1, "ana"))
    assert verified(database, keys).differences == []


def test_a_name_cannot_be_taken_out_by_hand(sealed: str, keys: KeyFile):
    """Also by somebody who knows how deletions do it."""
    with psycopg.connect(sealed, autocommit=True) as connection:
        row = connection.execute(
            "SELECT salt, username, source, user_agent FROM audit WHERE log_offset = 2"
        ).fetchone()
        assert row is not None
        salt, *said = row
        lengths = pack(">5i", *map(len, said), -1, -1)
        connection.execute(
            "UPDATE audit SET username = '', source = NULL, user_agent = NULL, device = NULL,"
            " guess = NULL, salt = %s WHERE log_offset = 2",
            (sha256(salt + lengths + "".join(said).encode()).digest(),),
        )
    [found] = verified(sealed, keys).differences
    assert "no deletion came after it" in found.sentence


def test_what_retention_deletes_is_not_missed(store: Store, database: str, keys: KeyFile):
    """A range that begins later does not miss it either; before it was due it would be missed."""
    progress = store.claim("me")
    old = NOW - 40 * DAY_MS
    progress = commit(store, progress, SetPolicy(new(), 0, POLICY), attempt("ana", False), at=old)
    progress = commit(store, progress, attempt("ana", False), at=old + DAY_MS)
    for _ in range(3):
        progress = commit(store, progress, attempt("ana", False), attempt("ana", True))
    within = Range(kept_from_ms=(NOW // DAY_MS - 20) * DAY_MS)
    assert verified(database, keys, within).differences == []
    for ms in (old + DAY_MS, old):  # in any order
        run(database, f"DROP TABLE {_day(ms)}")
        run(database, f"DELETE FROM audit_seals WHERE last_ms BETWEEN {ms} AND {ms + 9}")
        assert verified(database, keys, within).differences == []
    assert verified(database, keys, within).batches == 3
    assert "seals were deleted" in verified(database, keys).differences[0].sentence


@pytest.mark.parametrize("rest", ["DELETE FROM audit", "UPDATE audit SET salt = NULL"])
def test_an_audit_without_any_seal_is_not_taken_for_one_that_was_due(
    sealed: str, keys: KeyFile, rest: str
):
    """With its rows or without: retention cannot have deleted what is younger."""
    run(sealed, "DELETE FROM audit_seals", rest)
    [found] = verified(sealed, keys, Range(kept_from_ms=NOW - DAY_MS)).differences
    assert "newest seal" in found.sentence
    assert verified(sealed, keys, Range(kept_from_ms=NOW + DAY_MS)).differences == []


def _day(ms: int) -> str:
    """The audit's partition of a day."""
    return f"audit_{datetime.fromtimestamp(ms / 1000, UTC):%Y%m%d}"


def test_retention_deletes_seals_with_their_rows(store: Store, database: str, keys: KeyFile):
    """As many as there are of batches that are old."""
    progress = store.claim("me")
    progress = commit(store, progress, SetPolicy(new(), 0, POLICY), at=NOW - 400 * DAY_MS)
    commit(store, progress, attempt("ana", False))
    apply_retention(database, 90)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_offset FROM audit_seals").fetchall() == [(2,)]


def test_a_range_begins_and_ends_where_it_is_told(store: Store, database: str, keys: KeyFile):
    """A change elsewhere is not its matter, and one in it is found."""
    some_batches(store)
    within = Range(NOW + 6, NOW + 8)
    report = verified(database, keys, within)
    assert (report.differences, report.batches) == ([], 1)
    run(database, "UPDATE audit SET delayed_ms = 9 WHERE log_offset IN (1, 8)")
    assert verified(database, keys, within).differences == []
    run(database, "UPDATE audit SET delayed_ms = 9 WHERE log_offset = 7")
    [found] = verified(database, keys, within).differences
    assert found.place == (1, 2, 6)


@pytest.mark.parametrize(
    ("times", "within"),
    [
        ((-10_000, 0, -500, -400, 1), Range(NOW)),
        ((-10_000, 0, 9_000, 9_100, 1), Range(NOW, NOW + 5_000)),
    ],
)
def test_a_range_has_all_between_its_first_and_last_batch(
    store: Store, database: str, keys: KeyFile, times: Sequence[int], within: Range
):
    """Where a broker's clock leaps out of the range and back: what came meanwhile counts, too."""
    progress = store.claim("me")
    batches: tuple[tuple[AttemptsMessage, ...], ...] = (
        (SetPolicy(new(), 0, POLICY), attempt("ben", True)),
        (attempt("ana", True),),
        (attempt("ana", False), attempt("ana", False)),
        (SetPolicy(new(), 0, Policy(2, threshold=3)),),
        (attempt("ana", False), attempt("ana", False)),
    )
    for messages, ms in zip(batches, times, strict=True):
        progress = commit(store, progress, *messages, at=NOW + ms)
    report = verified(database, keys, within)
    assert (report.differences, report.batches, report.blocks) == ([], 4, 1)


def test_what_is_older_than_seals_is_said_to_be_unknown(store: Store, database: str, keys: KeyFile):
    """Rows of an earlier version, whose states the later decisions stand on."""
    progress = store.claim("me")
    with psycopg.connect(database) as connection:
        connection.execute("SELECT make_audit_day(%s)", (NOW - NOW % DAY_MS,))
    for offset in range(3):
        run(
            database,
            "INSERT INTO audit VALUES (%s, 2, 1, %s, %s, 'attempt', 'ana', false, 1, 0, 0, 1, 0)",
            values=(NOW + offset, offset, bytes(16)),
        )
    run(database, "UPDATE partition_progress SET next_offset = 3")
    progress = store.claim("me")
    commit(store, progress, SetPolicy(new(), 0, POLICY), attempt("bob", False))
    report = verified(database, keys)
    assert (report.differences, report.unsealed, report.judged) == ([], 3, 1)


def test_another_owner_goes_on_with_the_chain(open_store: Open, database: str, keys: KeyFile):
    """And so does one whose log was made anew, or has lost its beginning."""
    progress = some_batches(open_store(2))
    successor = open_store(2)
    progress = successor.claim("another")
    assert progress.policy == POLICY
    progress = commit(successor, progress, attempt("ana", False))
    for moved in (progress._replace(generation=2, next_offset=0), progress._replace(next_offset=9)):
        assert successor.move(moved._replace(epoch=progress.epoch), missing=1)
        progress = successor.claim("another")
        progress = commit(successor, progress, attempt("ana", False))
    assert verified(database, keys).differences == []


def test_an_account_is_followed_into_another_partition(
    open_store: Open, database: str, keys: KeyFile
):
    """Its count goes on there, in a generation above all former ones."""
    here, there = open_store(2), open_store(3)
    progress, other = here.claim("me"), there.claim("me")
    progress = commit(here, progress, SetPolicy(new(), 0, POLICY), attempt("ana", False))
    progress = commit(here, progress, attempt("ana", False))
    other = commit(there, other, SetPolicy(new(), 0, POLICY))
    other = other._replace(generation=2)
    assert there.move(other, missing=0)
    commit(there, other, attempt("ana", False))
    report = verified(database, keys)
    assert (report.differences, report.blocks, report.unjudged) == ([], 1, 0)
    run(database, "UPDATE audit SET change = 0, until_ms = 0 WHERE partition = 3 AND change = 1")
    batch, row = verified(database, keys).differences
    assert "is not as it was written" in batch.sentence
    assert "rejected, which blocks until" in row.sentence


def test_the_command_says_whether_it_is_right(store: Store, database: str, keys: KeyFile):
    """And by its exit code."""
    some_batches(store)
    env = {"DATABASE_URL": database, "CERROJO_SIGNING_KEYS": str(Path(keys.path).parent)}
    found = said(env, "verify")
    assert (found["batches"], found["rows"], found["differences"]) == (4, 9, [])
    assert said(env, "verify", "--from", "2026-11-20", "--to", "2030-01-01")["batches"] == 4
    assert said(env, "verify", "--to", "2020-01-01")["batches"] == 0
    run(database, "UPDATE audit SET decision = 0 WHERE log_offset = 6")
    done = cerrojo(env, "verify", "--days", "36500")
    assert (done.returncode, done.stderr) == (1, "")
    differences = json.loads(done.stdout)["differences"]
    where = [(each["partition"], each["generation"], each["offset"]) for each in differences]
    assert (2, 1, 6) in where
    assert any("it was accepted until" in each["sentence"] for each in differences)
