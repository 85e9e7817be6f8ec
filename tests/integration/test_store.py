"""The batch function and the claims, on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from events.messages import Attempt, Block, Deleted, Policy, SetPolicy, Unblock, encode, new_id
from workers.decision.batch import Batch, Record, decide, decode, users_of
from workers.decision.policy import Device, LockState
from workers.partition.binary_arrays import AUDIT
from workers.partition.store import DAY_MS, Progress, Store
from workers.supervisor.retention import RetentionResult, apply_retention

NOW = 1_795_491_529_733


SEQUENTIAL = "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables"
"""Rows that were read without an index."""


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The store of partition 2, connected."""
    store = Store(database, 2)
    store.open()
    yield store
    store.close()


def batch_of(store: Store, progress: Progress, *values: bytes) -> Batch:
    """The batch that follows from these values at the progress's offset."""
    records = [
        Record(progress.next_offset + n, NOW + n, b"key", value) for n, value in enumerate(values)
    ]
    decoded = decode(records)
    return decide(progress.next_offset, decoded, store.states(users_of(decoded)), progress.policy)


def wrong(user: str) -> bytes:
    """A wrong password for this account."""
    return encode(Attempt(new_id(), 1, user, False))


def test_a_batch_is_kept_whole(store: Store):
    """Progress, states, audit rows, quarantine and policy come out as they went in."""
    progress = store.claim("me")
    values = [wrong("ana") for _ in range(5)]
    values += [wrong("bob"), b"junk", encode(SetPolicy(new_id(), 0, Policy(3)))]
    batch = batch_of(store, progress, *values)
    assert store.apply(progress, batch)
    stored = store.progress()
    assert stored is not None
    assert (stored.next_offset, stored.batch_offset, stored.policy) == (8, 0, Policy(3))
    assert store.states(["ana", "bob", "eve"]) == {
        "ana": LockState(
            *((), 5, 1, NOW + 4, NOW + 4 + 1_800_000, "5 wrong passwords within 900 s", NOW + 4),
            Policy().forget_ms,
        ),
        "bob": LockState((NOW + 5,), 1, 0, last_ms=NOW + 5, forget_ms=Policy().forget_ms),
    }
    assert store.audit_rows(stored.generation, 0, 8) == batch.audit
    assert store.append_time_ms(3) == NOW + 3
    assert store.append_time_ms(6) == NOW + 6
    assert store.append_time_ms(8) is None


def test_what_devices_and_which_passwords_were_wrong_is_kept(store: Store, database: str):
    """As it was decided, so that the next owner decides the same; and for people to read."""
    progress = store.claim("me")
    guesses = [bytes([n]) * 8 for n in range(1, 4)]
    policy = Policy(3, repeated_guesses="ignore", threshold=2)

    def attempt(right: bool, device: bytes | None = None, guess: bytes | None = None) -> bytes:
        return encode(Attempt(new_id(), 1, "ana", right, 0, 0, None, None, device, guess))

    values = [
        encode(SetPolicy(new_id(), 0, policy)),
        attempt(False, None, guesses[0]),
        attempt(False, b"d" * 16, guesses[1] + guesses[0]),
        attempt(False, b"e" * 16, guesses[1]),
        attempt(False, b"e" * 16, guesses[2]),
    ]
    batch = batch_of(store, progress, *values)
    assert store.apply(progress, batch)
    state, offset = batch.states["ana"]
    assert store.states(["ana"]) == {"ana": state}
    assert (state.guesses, offset) == ((guesses[0],), 4)
    until = NOW + 4 + policy.block_ms
    assert state.devices == (
        Device(b"d" * 16, 1, None, (guesses[1],)),
        Device(b"e" * 16, 2, until, ()),
    )
    with psycopg.connect(database) as connection:
        query = "SELECT guesses, devices FROM lock_states"
        assert connection.execute(query).fetchall() == [
            (
                guesses[0],
                [
                    {"device": "64" * 16, "failures": 1, "until_ms": None, "guesses": ["02" * 8]},
                    {"device": "65" * 16, "failures": 2, "until_ms": until, "guesses": []},
                ],
            )
        ]
    progress = progress._replace(next_offset=5, policy=batch.policy)
    assert store.apply(progress, batch_of(store, progress, attempt(True)))
    assert store.states(["ana"])["ana"].devices == state.devices


def test_every_column_of_a_state_is_written_again(store: Store, database: str):
    """A later batch leaves none as it was."""

    def attempt(device: bytes | None, guess: bytes) -> bytes:
        return encode(Attempt(new_id(), 1, "ana", False, 0, 0, None, None, device, guess))

    def policy(version: int, forget_ms: int) -> bytes:
        ignoring = Policy(version, threshold=2, repeated_guesses="ignore", forget_ms=forget_ms)
        return encode(SetPolicy(new_id(), 0, ignoring))

    def columns() -> dict[str, Any]:
        with psycopg.connect(database, row_factory=dict_row) as connection:
            return connection.execute("SELECT * FROM lock_states").fetchone() or {}

    progress = store.claim("me")
    values = policy(1, DAY_MS), attempt(None, b"1" * 8), attempt(b"d" * 16, b"2" * 8)
    batch = batch_of(store, progress, *values)
    assert store.apply(progress, batch)
    before = columns()
    progress = progress._replace(generation=2, next_offset=10, policy=batch.policy)
    assert store.move(progress, 0)
    values = policy(2, 2 * DAY_MS), attempt(b"d" * 16, b"3" * 8), attempt(None, b"4" * 8)
    by_hand = encode(Block(new_id(), 1, "ana", 0, 0, "cleo", "robbed"))
    batch = batch_of(store, progress, *values, by_hand)
    assert store.apply(progress, batch)
    assert store.states(["ana"]) == {"ana": batch.states["ana"][0]}
    after = columns()
    same = {name for name, value in before.items() if after[name] == value}
    assert same == {"username", "partition"}


def test_a_state_that_is_clean_again_leaves_no_row(store: Store, database: str):
    """A success or an operator deletes what was kept of the account."""
    progress = store.claim("me")
    assert store.apply(progress, batch_of(store, progress, wrong("ana"), wrong("bob")))
    progress = progress._replace(next_offset=2)
    clean = [encode(Attempt(new_id(), 1, "ana", True)), encode(Unblock(new_id(), 1, "bob"))]
    assert store.apply(progress, batch_of(store, progress, *clean))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM lock_states").fetchone() == (0,)


def test_a_batch_is_applied_once(store: Store):
    """The second time its start is not the stored offset any more, and nothing is written."""
    progress = store.claim("me")
    batch = batch_of(store, progress, wrong("ana"))
    assert store.apply(progress, batch)
    assert not store.apply(progress, batch)
    assert len(store.audit_rows(1, 0, 9)) == 1


def test_a_former_owner_writes_nothing(store: Store, database: str):
    """Its epoch is lower than the one of who claimed since."""
    progress = store.claim("zombie")
    batch = batch_of(store, progress, wrong("ana"))
    other = Store(database, 2)
    other.open()
    assert other.claim("successor").epoch > progress.epoch
    assert not store.apply(progress, batch)
    assert not store.move(progress, 0)
    assert store.states(["ana"]) == {}
    assert store.audit_rows(1, 0, 9) == []
    other.close()


def test_other_generations_do_not_mix(store: Store):
    """A decision at an offset from before the log was made anew stays, and is told apart."""
    progress = store.claim("me")
    first = batch_of(store, progress, wrong("ana"))
    assert store.apply(progress, first)
    moved = progress._replace(generation=2, next_offset=0, topic_id="t2")
    assert store.move(moved, missing=3)
    assert not store.apply(progress._replace(next_offset=0), first)
    second = batch_of(store, moved, wrong("bob"))
    assert store.apply(moved, second)
    assert store.audit_rows(1, 0, 9) == first.audit
    assert store.audit_rows(2, 0, 9) == second.audit


def test_a_claim_ends_the_session_that_holds_the_row(store: Store, database: str):
    """Somebody's forgotten transaction does not keep a partition from its next owner."""
    store.claim("me")
    with psycopg.connect(database) as forgotten:
        forgotten.execute("UPDATE partition_progress SET owner = 'psql' WHERE partition = 2")
        progress = store.claim("me again")
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
    assert progress.next_offset == 0


def test_epochs_rise_even_when_the_database_is_set_back(store: Store, database: str):
    """An older backup does not give out an epoch that a zombie may still hold."""
    before = store.claim("me").epoch
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE partition_progress SET epoch = 1")
    assert store.claim("me").epoch > before


def test_a_new_connection_serves_nothing_before_a_claim(store: Store, database: str):
    """It may lead to a database that went back: former reads must not be written there."""
    progress = store.claim("me")
    batch = batch_of(store, progress, wrong("ana"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cerrojo worker' AND datname = current_database()"
        )
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            store.apply(progress, batch)
    progress = store.claim("me")
    assert progress.next_offset == 0
    assert store.apply(progress, batch)


def test_every_column_of_the_audit_is_a_field(database: str):
    """A column that no worker fills and reads would be lost when the last batch is said again."""
    with psycopg.connect(database) as connection:
        columns = connection.execute("SELECT * FROM audit LIMIT 0").description or ()
    expected = {"partition", "generation", "salt"} | {kept.column for kept in AUDIT.values()}
    assert {column.name for column in columns} == expected


class Locking(psycopg.Cursor[Any]):
    """Notes how many tables and indexes each statement locks."""

    most = 0

    def execute(self, *args: Any, **kwargs: Any) -> Locking:
        """In a transaction, so that they are still there to be counted."""
        with self.connection.transaction():
            super().execute(*args, **kwargs)
            look = psycopg.Cursor(self.connection).execute(
                "SELECT count(DISTINCT relation) FROM pg_locks WHERE pid = pg_backend_pid()"
            )
            Locking.most = max(Locking.most, *(look.fetchone() or ()))
        return self


def test_a_claim_locks_no_year_of_the_audit_at_once(store: Store, database: str):
    """All partitions are claimed after a restart of Postgres, which has room for some thousands."""
    with psycopg.connect(database, autocommit=True) as connection:
        for day in range(100):
            connection.execute("SELECT make_audit_day(%s)", (NOW - day * DAY_MS,))
        connection.execute(
            "INSERT INTO audit SELECT %s - n * %s::bigint, 2, 1, 99 - n, '', 'attempt', 'ana',"
            " true, 0, 0, 0, 1, 0 FROM generate_series(0, 99) AS n",
            (NOW, DAY_MS),
        )
    progress = store.claim("me")._replace(generation=1, next_offset=100, latest_ms=NOW)
    assert store._claimed_on is not None
    store._claimed_on.cursor_factory = Locking
    assert [row.offset for row in store.audit_rows(1, 0, 100)] == list(range(100))
    assert [seen.offset for seen in store.recent_requests(progress)] == list(range(100))
    assert store.append_time_ms(3) == NOW - 96 * DAY_MS
    assert 30 * 6 < Locking.most < 35 * 6  # a day's table and its indexes


def commit(store: Store, progress: Progress, *values: bytes) -> Progress:
    """The progress after a batch of these."""
    batch = batch_of(store, progress, *values)
    assert store.apply(progress, batch)
    return progress._replace(next_offset=batch.to_offset)


def deletion(user: str, version: int = 0) -> bytes:
    """Nothing is to be kept of this name."""
    return encode(Deleted(new_id(), 1, user, 0, 0, version))


def test_a_deletion_takes_the_name_from_everything_before_it(store: Store, database: str):
    """The rows stay, as their ids are how a repetition is known; others' keep their names."""
    progress = store.claim("me")
    seen = encode(
        Attempt(
            *(new_id(), 1, "ana", False),
            source="192.0.2.7",
            user_agent="curl",
            device=b"its id has 16 b.",
        )
    )
    progress = commit(store, progress, seen, wrong("bob"), wrong("ana"))
    requests = store.recent_requests(progress)
    assert [row.device for row in store.audit_rows(1, 0, 9)] == [b"its ", None, None]
    progress = commit(store, progress, deletion("ana"), wrong("ana"))
    assert store.states(["ana", "bob"]).keys() == {"ana", "bob"}  # it was attempted since
    rows = store.audit_rows(1, 0, 9)
    assert [row.user for row in rows] == ["", "bob", "", "", "ana"]
    assert {(row.source, row.user_agent, row.device) for row in rows} == {(None, None, None)}
    assert store.recent_requests(progress)[:3] == requests
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT * FROM erasures").fetchall() == []


@pytest.mark.parametrize(("version", "left"), [(6, 1), (7, 0), (8, 0)])
def test_a_deletion_deletes_the_account_that_it_knew(
    store: Store, database: str, version: int, left: int
):
    """And none that was made of the name, or changed, since: a replay must not."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO accounts VALUES ('ana', 'a hash', now(), 7)")
        commit(store, store.claim("me"), deletion("ana", version))
        found = connection.execute("SELECT count(*) FROM accounts").fetchone()
    assert found == (left,)


def test_a_deletion_waits_for_no_lock(store: Store, database: str):
    """A client that stands still with the account locked keeps no partition waiting."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO accounts VALUES ('ana', 'a hash', now(), 7)")
        connection.commit()
        connection.execute("SELECT FROM accounts FOR UPDATE")
        commit(store, store.claim("me"), deletion("ana", 7))
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM accounts").fetchone() == (1,)


def test_a_name_in_many_rows_is_left_to_retention(store: Store, database: str):
    """A commit takes it from the latest thousand, retention from the others, and from no later one.

    docs/accounts.md promises that of the latest to the person who is told that it is done.
    """
    progress = store.claim("me")
    progress = commit(store, progress, *[wrong("ana")] * 1_500)
    progress = commit(store, progress, deletion("ana"), wrong("ana"))

    def named() -> list[int]:
        return [row.offset for row in store.audit_rows(1, 0, 9_999) if row.user == "ana"]

    assert named() == [*range(500), 1_501]
    assert apply_retention(database, 0) == RetentionResult(erased_names=500)
    assert named() == [1_501]
    assert apply_retention(database, 0) == RetentionResult()
    progress = commit(store, progress, *[wrong("bob")] * 1_000)
    commit(store, progress, deletion("bob"))
    assert [row for row in store.audit_rows(1, 0, 9_999) if row.user == "bob"] == []
    assert apply_retention(database, 0) == RetentionResult()


def test_a_deletion_reads_no_more_of_the_audit_than_the_name_s(store: Store, database: str):
    """Not even where the planner takes the name for one that is in most of the rows."""
    progress = store.claim("me")
    progress = commit(store, progress, *[wrong("ana")] * 900)
    commit(store, progress, deletion("ana"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ANALYZE audit")
        connection.execute("UPDATE audit SET username = 'ana'")
        connection.execute("ANALYZE audit")
        connection.execute("UPDATE audit SET username = 'bob'")
        connection.execute("SELECT pg_stat_force_next_flush()")
        (before,) = connection.execute(SEQUENTIAL).fetchone() or (0,)
        connection.execute("SELECT erase_name('ana', 2, 1, 9999, 1000)")
        connection.execute("SELECT pg_stat_force_next_flush()")
        (after,) = connection.execute(SEQUENTIAL).fetchone() or (0,)
    assert after == before
