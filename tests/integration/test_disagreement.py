"""The log and the database are not the pair that they were: one is rebuilt from the other."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from prometheus_client import REGISTRY
from psycopg.sql import SQL, Identifier

from events.messages import Attempt, Policy, Unblock, encode, new_id
from local.servers import Servers
from sql.migrate import migrate
from tests.harness.owner import PARTITION, REPLIES, Owners, put, verdicts, work, wrong
from tests.postgres import drop_database

KEPT = (
    "SELECT generation, log_offset, appended_ms, id, kind, username, right_password, decision,"
    " until_ms, change, policy_version FROM audit ORDER BY generation, log_offset",
    "SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms, blocked_until_ms, last_ms,"
    " generation, log_offset FROM lock_states ORDER BY username",
    "SELECT generation, next_offset, last_fingerprint, last_ms, policy FROM partition_progress",
)
"""The rows that a replay must bring back to the letter."""


def kept(database_url: str) -> list[list[tuple[object, ...]]]:
    """Everything that follows from the log."""
    with psycopg.connect(database_url) as connection:
        return [connection.execute(query).fetchall() for query in KEPT]


def morning(user: str) -> list[bytes]:
    """Some attempts of a user that end with a block, and one more."""
    attempts = [wrong(user), wrong(user), Attempt(new_id(), REPLIES, user, True)]
    attempts += [wrong(user) for _ in range(6)]
    return [encode(attempt) for attempt in attempts]


def gauge() -> float | None:
    """What this process says in its metrics of missing attempts."""
    return REGISTRY.get_sample_value("cerrojo_missing_attempts", {"partition": str(PARTITION)})


@pytest.fixture
def owners(topics: str) -> Iterator[Owners]:
    """Makes owners of the partition."""
    with Owners(topics) as owners:
        yield owners


@pytest.fixture
def backup(servers: Servers, database_url: str) -> Iterator[str]:
    """The name of a database that can hold a copy of this test's one."""
    name = f"{database_url.rpartition('/')[2].partition('?')[0]}_backup"
    yield name
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        drop_database(connection, name)


def copy(servers: Servers, database_url: str, name: str) -> str:
    """A copy of the database, as a backup of this moment or a standby that lags would hold it."""
    source = database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'",
            (source,),
        )
        connection.execute(
            SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(source))
        )
    return servers.url(name)


def test_an_older_database_is_brought_up_to_date_by_the_log(
    owners: Owners, topics: str, database: str, servers: Servers, backup: str
):
    """A restored backup, or a failover to a copy that lags: the same verdicts once more."""
    first = owners.new(database)
    first.claim()
    put(topics, *morning("ana"))
    work(first, until=10)
    older = copy(servers, database, backup)
    after = owners.new(database, "after")
    after.claim()
    put(topics, *morning("dea"), encode(Unblock(new_id(), REPLIES, "ana")))
    work(after, until=20)
    said = verdicts(topics)

    restored = owners.new(older, "restored")
    restored.claim()
    work(restored, until=20)
    assert kept(older) == kept(database)
    assert set(verdicts(topics)) == set(said), "a verdict was said that contradicts an older one"


def test_a_database_that_goes_back_under_its_owner_is_noticed(
    owners: Owners, topics: str, database: str
):
    """The next commit misses, and the partition is claimed and read again from there."""
    worker = owners.new(database)
    worker.claim()
    put(topics, *morning("ana"))
    work(worker, until=10)
    whole = kept(database)
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM audit WHERE log_offset >= 1")
        connection.execute("DELETE FROM lock_states")
        connection.execute(
            "UPDATE partition_progress SET next_offset = 1, batch_offset = 1,"
            " last_fingerprint = NULL, last_ms = NULL WHERE partition = %s",
            (PARTITION,),
        )
    put(topics, encode(Attempt(new_id(), REPLIES, "eve", True)))
    while worker.run_once():
        pass
    worker.claim()
    work(worker, until=11)
    audit, states, progress = kept(database)
    assert (audit[:-1], states) == (whole[0], whole[1])
    assert progress[0][1] == 11


def test_an_empty_database_is_filled_again_from_the_whole_log(
    owners: Owners, topics: str, database: str, servers: Servers, backup: str
):
    """All but the accounts: states, blocks, audit and the policy stand in the log."""
    worker = owners.new(database, first_policy=Policy(version=1, threshold=3))
    worker.claim()
    put(topics, *morning("ana"), b"junk", *morning("dea"))
    work(worker, until=20)

    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(backup)))
    empty = servers.url(backup)
    migrate(empty)
    anew = owners.new(empty, "anew", first_policy=Policy(version=1, threshold=99))
    anew.claim()
    work(anew, until=21)  # it proposes its first policy, which the log has no use for
    work(worker, until=21)
    assert kept(empty) == kept(database)


def test_a_log_that_begins_behind_the_database_goes_on_and_says_what_is_missing(
    owners: Owners, topics: str, database: str, servers: Servers, backup: str
):
    """Retention has taken attempts that the restored database has not seen."""
    worker = owners.new(database)
    worker.claim()
    attempts = morning("ana")
    put(topics, *attempts[:3])
    work(worker, until=4)
    older = copy(servers, database, backup)
    put(topics, *attempts[3:], encode(wrong("ana")))
    owners.delete_before(8)
    late = owners.new(older, "late")
    late.claim()
    assert late.progress is not None
    assert late.progress.position == (1, 8)
    work(late, until=11)
    with psycopg.connect(older) as connection:
        missing = connection.execute("SELECT missing FROM partition_progress").fetchone()
    assert missing == (4,)
    assert gauge() == 4
    owners.new(older, "next").claim()
    assert gauge() == 4, "the next owner reads it from the database"
