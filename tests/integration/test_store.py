"""The batch function and the claims, on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from events.messages import Attempt, Policy, SetPolicy, Unblock, encode, new_id
from workers.batch import Batch, Record, decide, decode, users_of
from workers.policy import LockState
from workers.store import Progress, Store

NOW = 1_795_491_529_733


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
            (), 5, 1, NOW + 4, NOW + 4 + 1_800_000, "5 wrong passwords within 900 s", NOW + 4
        ),
        "bob": LockState((NOW + 5,), 1, 0, None, None, None, NOW + 5),
    }
    assert store.decided(stored.generation, 0, 8) == batch.audit
    assert store.appended_at(3) == NOW + 3
    assert store.appended_at(6) == NOW + 6
    assert store.appended_at(8) is None


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
    assert len(store.decided(1, 0, 9)) == 1


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
    assert store.decided(1, 0, 9) == []
    other.close()


def test_other_generations_do_not_mix(store: Store):
    """What was decided at an offset before the log was made anew stays, and is told apart."""
    progress = store.claim("me")
    first = batch_of(store, progress, wrong("ana"))
    assert store.apply(progress, first)
    moved = progress._replace(generation=2, next_offset=0, topic_id="t2")
    assert store.move(moved, missing=3)
    assert not store.apply(progress._replace(next_offset=0), first)
    second = batch_of(store, moved, wrong("bob"))
    assert store.apply(moved, second)
    assert store.decided(1, 0, 9) == first.audit
    assert store.decided(2, 0, 9) == second.audit


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
    """It may lead to a database that went back: what was read before must not be written there."""
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
