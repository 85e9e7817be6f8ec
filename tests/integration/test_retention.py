"""What is kept for a time and then let go, on a real Postgres and a real Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from events.messages import FOREVER
from events.topics import ATTEMPTS, BLOCKS, VERDICTS, Retention, create_topics
from sql.migrate import migrate
from workers import housekeeping
from workers.housekeeping import LetGo, keep_house

DAY_MS = 86_400_000
TODAY_MS = int(time.time() * 1000) // DAY_MS * DAY_MS
NOW_MS = TODAY_MS + DAY_MS // 2


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the prepared database."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def audit(connection: psycopg.Connection[Any], days_ago: int, offset: int) -> None:
    """One decision of that day."""
    connection.execute(
        "INSERT INTO audit VALUES (%s, 0, 1, %s, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0)",
        (NOW_MS - days_ago * DAY_MS, offset),
    )


def partition_of_day(connection: psycopg.Connection[Any], days_ago: int) -> None:
    """The daily partition as it was made that many days ago."""
    start = TODAY_MS - days_ago * DAY_MS
    connection.execute(
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES"
        f" FROM ({start}) TO ({start + DAY_MS})', 'audit_' || to_char("
        f"to_timestamp({start // 1000}) AT TIME ZONE 'UTC', 'YYYYMMDD')); END $$"
    )


def offsets(connection: psycopg.Connection[Any], table: str = "audit") -> list[int]:
    """The offsets of the rows that are left."""
    return [n for (n,) in connection.execute(f"SELECT log_offset FROM {table} ORDER BY 1")]


def housekeeping_waits(connection: psycopg.Connection[Any]) -> bool:
    """Whether it waits for somebody's lock at this moment."""
    return bool(
        connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cerrojo housekeeping'"
            " AND datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    )


def test_old_audit_partitions_are_dropped_whole(connection: psycopg.Connection[Any], database: str):
    """Those of days before the retention; the last day of it stays."""
    for days_ago in (93, 92, 91, 90, 89):
        partition_of_day(connection, days_ago)
        audit(connection, days_ago, offset=days_ago)
    audit(connection, 0, offset=0)
    assert keep_house(database, 90) == LetGo(audit_partitions=3)
    assert offsets(connection) == [0, 89, 90]
    assert keep_house(database, 90) == LetGo()


def test_old_rows_that_have_no_partition_of_their_own_are_deleted(
    connection: psycopg.Connection[Any], database: str, monkeypatch: pytest.MonkeyPatch
):
    """In audit_default and in the quarantine, some at a time until there are no more."""
    monkeypatch.setattr(housekeeping, "ROWS_AT_ONCE", 2)
    for offset in range(7):
        audit(connection, 91, offset)
    audit(connection, 90, 100)
    for offset, days_ago in ((1, 91), (2, 91), (3, 90)):
        connection.execute(
            "INSERT INTO quarantine VALUES (0, 1, %s, %s, NULL, 'junk', 'why')",
            (offset, NOW_MS - days_ago * DAY_MS),
        )
    assert keep_house(database, 90) == LetGo(old_rows=9)
    assert offsets(connection) == [100]
    assert offsets(connection, "quarantine") == [3]


def test_zero_days_keep_the_audit_forever(connection: psycopg.Connection[Any], database: str):
    """As the setting says."""
    partition_of_day(connection, 5000)
    audit(connection, 5000, 1)
    audit(connection, 4000, 2)
    assert keep_house(database, 0) == LetGo()
    assert offsets(connection) == [1, 2]


def last_day(connection: psycopg.Connection[Any]) -> str:
    """The newest daily partition."""
    (name,) = connection.execute(
        "SELECT max(relname) FROM pg_class WHERE relname ~ '^audit_[0-9]{8}$'"
    ).fetchone() or ("",)
    return str(name)


def test_partitions_of_the_days_to_come_are_made_by_whoever_is_alive(
    connection: psycopg.Connection[Any], database: str
):
    """A system that runs for longer than a week has them without a migration."""
    day = last_day(connection)
    connection.execute(f"DROP TABLE {day}")
    keep_house(database, 90)
    assert last_day(connection) == day


def test_several_hosts_at_once_do_it_once(connection: psycopg.Connection[Any], database: str):
    """Who comes while another is at it leaves it to that one, and fails at nothing."""
    partition_of_day(connection, 100)
    connection.execute("SELECT pg_advisory_lock(%s)", (housekeeping.LOCK,))
    assert keep_house(database, 90) is None
    connection.execute("SELECT pg_advisory_unlock(%s)", (housekeeping.LOCK,))
    done: list[LetGo | None] = []
    threads = [
        threading.Thread(target=lambda: done.append(keep_house(database, 90))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert sum(let_go.audit_partitions for let_go in done if let_go) == 1


def test_who_reads_the_audit_is_not_waited_for(connection: psycopg.Connection[Any], database: str):
    """Every worker would have to wait behind the drop; it is given up and tried again later."""
    partition_of_day(connection, 100)
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM audit")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            keep_house(database, 90)
    assert keep_house(database, 90) == LetGo(audit_partitions=1)


def test_no_decision_waits_for_a_day_to_come_while_somebody_reads_the_audit(
    connection: psycopg.Connection[Any], database: str
):
    """As long as a backup takes; all that needs no lock of the audit is done all the same."""
    day = last_day(connection)
    connection.execute(f"DROP TABLE {day}")
    audit(connection, 91, offset=1)
    connection.execute("SET lock_timeout = '2s'")  # a login's deadline is five
    with ThreadPoolExecutor(1) as other, psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM audit")
        run = other.submit(keep_house, database, 90)
        while not run.done() and not housekeeping_waits(connection):
            pass
        audit(connection, 0, offset=2)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run.result()
    assert offsets(connection) == [2]
    assert keep_house(database, 90) == LetGo()
    assert last_day(connection) == day


def test_who_comes_while_another_makes_the_days_to_come_leaves_it_to_that_one(
    connection: psycopg.Connection[Any], database: str
):
    """A host's start beside another host's housekeeping: no failure, and nothing is missing."""
    day = last_day(connection)
    connection.execute(f"DROP TABLE {day}")
    with psycopg.connect(database) as other:
        other.execute("SELECT make_audit_partitions(7)")
        assert migrate(database) == []
        assert keep_house(database, 0) == LetGo()
    assert last_day(connection) == day


FORGET_MS = 10 * DAY_MS


def state(
    connection: psycopg.Connection[Any],
    user: str,
    last_ms: int,
    until_ms: int | None = None,
    partition: int = 2,
) -> None:
    """Something that an account has against it."""
    connection.execute(
        "INSERT INTO lock_states VALUES (%s, '{}', 7, 1, NULL, %s, NULL, %s, %s, 1, 0)",
        (user, until_ms, last_ms, partition),
    )


def progress(connection: psycopg.Connection[Any], last_ms: int | None, policy: str | None) -> None:
    """How far the partition has been decided."""
    connection.execute("SELECT claim_partition(2, 'me')")
    connection.execute(
        "UPDATE partition_progress SET last_ms = %s, policy = %s WHERE partition = 2",
        (last_ms, policy),
    )


def users(connection: psycopg.Connection[Any]) -> list[str]:
    """The accounts that still have something against them."""
    return [user for (user,) in connection.execute("SELECT username FROM lock_states ORDER BY 1")]


def test_forgotten_lock_states_are_deleted_by_the_logs_own_time(
    connection: psycopg.Connection[Any], database: str
):
    """What the policy forgets, a day later; never a block that stands."""
    log_ms = 50 * DAY_MS  # far behind this host's clock: a worker that was away for years
    progress(connection, log_ms, f'{{"forget_ms": {FORGET_MS}}}')
    due = log_ms - FORGET_MS - DAY_MS
    state(connection, "due", due)
    state(connection, "due, and its block is over", due, until_ms=log_ms - DAY_MS)
    state(connection, "not due", due + 1)
    state(connection, "block is just over", due, until_ms=log_ms - DAY_MS + 1)
    state(connection, "blocked", due, until_ms=FOREVER)
    state(connection, "elsewhere", due, partition=3)
    assert keep_house(database, 90) == LetGo(lock_states=2)
    assert users(connection) == ["block is just over", "blocked", "elsewhere", "not due"]


def test_a_state_from_before_a_resize_is_forgotten_when_all_partitions_have_passed_its_time(
    connection: psycopg.Connection[Any], database: str
):
    """Its account may be in another partition now, which has its attempts still to decide."""
    log_ms = 50 * DAY_MS
    progress(connection, log_ms, f'{{"forget_ms": {FORGET_MS}}}')
    state(connection, "ana", log_ms - FORGET_MS - DAY_MS)
    connection.execute("UPDATE partition_progress SET generation = 2")
    connection.execute("SELECT claim_partition(3, 'me')")
    connection.execute("UPDATE partition_progress SET last_ms = %s WHERE partition = 3", (log_ms,))
    connection.execute("UPDATE partition_progress SET last_ms = last_ms - 1 WHERE partition = 3")
    assert keep_house(database, 90) == LetGo()
    connection.execute("UPDATE partition_progress SET last_ms = last_ms + 1 WHERE partition = 3")
    assert keep_house(database, 90) == LetGo(lock_states=1)


@pytest.mark.parametrize(
    ("last_ms", "policy"),
    [
        (None, f'{{"forget_ms": {FORGET_MS}}}'),
        (50 * DAY_MS, None),
        (50 * DAY_MS, "{}"),
        (50 * DAY_MS, '{"forget_ms": 0}'),
    ],
    ids=["no record yet", "no policy yet", "a policy of old", "never"],
)
def test_without_a_time_or_a_policy_that_forgets_all_states_stay(
    connection: psycopg.Connection[Any], database: str, last_ms: int | None, policy: str | None
):
    """Deleting less is always right."""
    progress(connection, last_ms, policy)
    state(connection, "ana", 1)
    assert keep_house(database, 90) == LetGo()
    assert users(connection) == ["ana"]


def test_a_state_that_is_written_anew_meanwhile_stays(
    connection: psycopg.Connection[Any], database: str
):
    """The worker's commit and the deletion take turns at the row, and the newer state counts."""
    progress(connection, 50 * DAY_MS, f'{{"forget_ms": {FORGET_MS}}}')
    state(connection, "ana", 1)
    deletion = threading.Thread(target=keep_house, args=(database, 90))
    with psycopg.connect(database) as worker:
        worker.execute("UPDATE lock_states SET last_ms = %s", (50 * DAY_MS,))
        deletion.start()
        while not housekeeping_waits(connection):
            pass
    deletion.join()
    assert users(connection) == ["ana"]


def topic_configs(kafka: str) -> dict[str, tuple[str, str]]:
    """Retention and segment time of each of our topics."""
    admin = AdminClient({"bootstrap.servers": kafka})
    resources = [ConfigResource(ResourceType.TOPIC, n) for n in (ATTEMPTS, VERDICTS, BLOCKS)]
    configs = {r.name: f.result() for r, f in admin.describe_configs(resources).items()}
    return {n: (c["retention.ms"].value, c["segment.ms"].value) for n, c in configs.items()}


def test_topics_are_made_with_their_retention_and_follow_the_settings(topics: str):
    """A new topic and one that exists; segments are closed in time to be deleted."""
    assert topic_configs(topics) == {
        ATTEMPTS: ("604800000", "75600000"),
        VERDICTS: ("3600000", "450000"),
        BLOCKS: ("3600000", "450000"),
    }
    admin = AdminClient({"bootstrap.servers": topics})
    create_topics(admin, 4, 1, Retention(attempts=0, news=2))
    assert topic_configs(topics) == {
        ATTEMPTS: ("-1", "75600000"),
        VERDICTS: ("7200000", "900000"),
        BLOCKS: ("7200000", "900000"),
    }
