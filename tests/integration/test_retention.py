"""The data that is kept for a time and then let go, on a real Postgres and a real Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from events.messages import FOREVER, Attempt, encode, new_id
from events.topics import ATTEMPTS, BLOCKS, EVENTS, SOURCES, VERDICTS, Retention, create_topics
from sql.migrate import AUDIT_DAYS_AHEAD, migrate
from tests.harness.waiting import wait_until
from workers.decision.batch import Record, decide, decode
from workers.partition.store import Store
from workers.supervisor import retention
from workers.supervisor.retention import RetentionResult, apply_retention

DAY_MS = 86_400_000


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the prepared database, which may have been prepared before midnight."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT make_audit_partitions(%s)", (AUDIT_DAYS_AHEAD,))
        yield connection


def noon_ms(days_ago: int) -> int:
    """Noon of that day."""
    return int(time.time() * 1000) // DAY_MS * DAY_MS + DAY_MS // 2 - days_ago * DAY_MS


def audit(connection: psycopg.Connection[Any], days_ago: int, offset: int) -> None:
    """One decision of that day."""
    connection.execute("SELECT make_audit_day(%s)", (noon_ms(days_ago),))
    connection.execute(
        "INSERT INTO audit VALUES (%s, 0, 1, %s, '', 'attempt', 'ana', true, 0, 0, 0, 1, 0)",
        (noon_ms(days_ago), offset),
    )


def offsets(connection: psycopg.Connection[Any], table: str = "audit") -> list[int]:
    """The offsets of the rows that are left."""
    return [n for (n,) in connection.execute(f"SELECT log_offset FROM {table} ORDER BY 1")]


def retention_waits(connection: psycopg.Connection[Any]) -> bool:
    """Whether it waits for somebody's lock at this moment."""
    return bool(
        connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cerrojo retention'"
            " AND datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    )


def test_old_audit_partitions_are_dropped_whole(connection: psycopg.Connection[Any], database: str):
    """Those of days before the retention; the last day of it stays."""
    for days_ago in (93, 92, 91, 90, 89):
        audit(connection, days_ago, offset=days_ago)
    audit(connection, 0, offset=0)
    assert apply_retention(database, 90) == RetentionResult(audit_partitions=3)
    assert offsets(connection) == [0, 89, 90]
    assert apply_retention(database, 90) == RetentionResult()


def test_old_rows_of_the_quarantine_are_deleted(
    connection: psycopg.Connection[Any], database: str, monkeypatch: pytest.MonkeyPatch
):
    """Some at a time until there are no more."""
    monkeypatch.setattr(retention, "BATCH_ROWS", 2)
    for offset, days_ago in ((1, 91), (2, 91), (3, 90), (4, 92), (5, 91), (6, 91)):
        connection.execute(
            "INSERT INTO quarantine VALUES (0, 1, %s, %s, NULL, 'junk', 'why')",
            (offset, noon_ms(days_ago)),
        )
    assert apply_retention(database, 90) == RetentionResult(old_rows=5)
    assert offsets(connection, "quarantine") == [3]


def test_what_a_run_leaves_is_not_left_for_an_hour(
    connection: psycopg.Connection[Any], database: str, monkeypatch: pytest.MonkeyPatch
):
    """A run is bounded; more than a million rows may become old in an hour."""
    monkeypatch.setattr(retention, "BATCH_ROWS", 1)
    monkeypatch.setattr(retention, "MAX_ROUNDS", 2)
    for offset in range(3):
        connection.execute(
            "INSERT INTO quarantine VALUES (0, 1, %s, 0, NULL, 'junk', 'why')", (offset,)
        )
    thread = retention.RetentionThread(database, 90)
    assert thread._run_once() == retention.RETRY_SECONDS
    assert offsets(connection, "quarantine") == [2]
    assert thread._run_once() == retention.INTERVAL_SECONDS
    assert offsets(connection, "quarantine") == []


def test_zero_days_keep_the_audit_forever(connection: psycopg.Connection[Any], database: str):
    """As the setting says."""
    audit(connection, 5000, 1)
    audit(connection, 4000, 2)
    assert apply_retention(database, 0) == RetentionResult()
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
    apply_retention(database, 90)
    assert last_day(connection) == day


def test_several_hosts_at_once_do_it_once(connection: psycopg.Connection[Any], database: str):
    """A host that comes while another is at it leaves it to that one, and fails at nothing."""
    audit(connection, 100, offset=1)
    connection.execute("SELECT pg_advisory_lock(%s)", (retention.LOCK,))
    assert apply_retention(database, 90) is None
    connection.execute("SELECT pg_advisory_unlock(%s)", (retention.LOCK,))
    done: list[RetentionResult | None] = []
    threads = [
        threading.Thread(target=lambda: done.append(apply_retention(database, 90)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert sum(deleted.audit_partitions for deleted in done if deleted) == 1


def test_who_reads_the_audit_is_not_waited_for(connection: psycopg.Connection[Any], database: str):
    """Every worker would have to wait behind the drop; it is given up and tried again later."""
    audit(connection, 100, offset=1)
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM audit")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            apply_retention(database, 90)
    assert apply_retention(database, 90) == RetentionResult(audit_partitions=1)


def test_no_decision_waits_for_a_day_to_go_while_somebody_reads_the_audit(
    connection: psycopg.Connection[Any], database: str
):
    """As long as a backup takes; days to come, and all else, are made and done all the same."""
    day = last_day(connection)
    connection.execute(f"DROP TABLE {day}")
    audit(connection, 91, offset=1)
    connection.execute("INSERT INTO quarantine VALUES (0, 1, 7, 0, NULL, 'junk', 'why')")
    connection.execute("SET lock_timeout = '2s'")  # a login's deadline is five
    with ThreadPoolExecutor(1) as other, psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM audit")
        run = other.submit(apply_retention, database, 90)
        while not run.done() and not retention_waits(connection):
            pass
        audit(connection, 0, offset=2)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run.result()
    assert last_day(connection) == day
    assert offsets(connection, "quarantine") == []
    assert apply_retention(database, 90) == RetentionResult(audit_partitions=1)
    assert offsets(connection) == [2]


def test_who_comes_while_another_makes_the_days_to_come_leaves_it_to_that_one(
    connection: psycopg.Connection[Any], database: str
):
    """A host's start beside another host's retention: no failure, and nothing is missing."""
    day = last_day(connection)
    connection.execute(f"DROP TABLE {day}")
    with psycopg.connect(database) as other:
        other.execute("SELECT make_audit_partitions(7)")
        assert migrate(database) == []
        assert apply_retention(database, 0) == RetentionResult()
    assert last_day(connection) == day


FORGET_MS = 10 * DAY_MS


def state(
    connection: psycopg.Connection[Any],
    user: str,
    last_ms: int,
    *,
    until_ms: int | None = None,
    partition: int = 2,
    forget_ms: int = FORGET_MS,
) -> None:
    """Something that an account has against it."""
    connection.execute(
        "INSERT INTO lock_states VALUES (%s, '{}', 7, 1, NULL, %s, NULL, %s, %s, 1, 0, %s)",
        (user, until_ms, last_ms, partition, forget_ms),
    )


def progress(connection: psycopg.Connection[Any], last_ms: int | None) -> None:
    """How far the partition has been decided."""
    connection.execute("SELECT claim_partition(2, 'me')")
    connection.execute("UPDATE partition_progress SET last_ms = %s WHERE partition = 2", (last_ms,))


def users(connection: psycopg.Connection[Any]) -> list[str]:
    """The accounts that still have something against them."""
    return [user for (user,) in connection.execute("SELECT username FROM lock_states ORDER BY 1")]


def test_forgotten_lock_states_are_deleted_by_the_logs_own_time(
    connection: psycopg.Connection[Any], database: str
):
    """States that the policy forgets go a day later; never a block that stands."""
    log_ms = 50 * DAY_MS  # far behind this host's clock: a worker that was away for years
    progress(connection, log_ms)
    due = log_ms - FORGET_MS - DAY_MS
    state(connection, "due", due)
    state(connection, "due, and its block is over", due, until_ms=log_ms - DAY_MS)
    state(connection, "not due", due + 1)
    state(connection, "block is just over", due, until_ms=log_ms - DAY_MS + 1)
    state(connection, "blocked", due, until_ms=FOREVER)
    state(connection, "elsewhere", due, partition=3)
    assert apply_retention(database, 90) == RetentionResult(lock_states=2)
    assert users(connection) == ["block is just over", "blocked", "elsewhere", "not due"]


def test_what_is_from_before_a_resize_ends_when_all_partitions_have_passed_its_time(
    connection: psycopg.Connection[Any], database: str
):
    """Its account may be in another partition now, which has its attempts still to decide."""
    log_ms = 50 * DAY_MS
    progress(connection, log_ms)
    state(connection, "ana", log_ms - FORGET_MS - DAY_MS)
    state(connection, "bob", log_ms, until_ms=log_ms - DAY_MS)
    connection.execute("UPDATE partition_progress SET generation = 2")
    connection.execute("SELECT claim_partition(3, 'me')")
    connection.execute("UPDATE partition_progress SET last_ms = %s WHERE partition = 3", (log_ms,))
    connection.execute("UPDATE partition_progress SET last_ms = last_ms - 1 WHERE partition = 3")
    assert apply_retention(database, 90) == RetentionResult()
    connection.execute("UPDATE partition_progress SET last_ms = last_ms + 1 WHERE partition = 3")
    assert apply_retention(database, 90) == RetentionResult(lock_states=1, ended_blocks=1)


@pytest.mark.parametrize(("last_ms", "forget_ms"), [(None, FORGET_MS), (50 * DAY_MS, 0)])
def test_a_state_that_never_ends_stays_and_so_do_all_before_the_first_record(
    connection: psycopg.Connection[Any], database: str, last_ms: int | None, forget_ms: int
):
    """Deleting less is always right."""
    progress(connection, last_ms)
    state(connection, "ana", 1, forget_ms=forget_ms)
    assert apply_retention(database, 90) == RetentionResult()
    assert users(connection) == ["ana"]


def test_one_record_of_a_clock_far_ahead_deletes_nothing_that_counts(
    connection: psycopg.Connection[Any], database: str
):
    """The partition's last record may be of any time; this server's clock bounds it."""
    now_ms = int(time.time() * 1000)
    progress(connection, now_ms + 1_000 * DAY_MS)
    state(connection, "recent", now_ms - 2 * DAY_MS)
    state(connection, "due", now_ms - FORGET_MS - 2 * DAY_MS)
    assert apply_retention(database, 90) == RetentionResult(lock_states=1)
    assert users(connection) == ["recent"]


def test_blocks_that_ended_leave_the_index_of_those_that_stand(
    connection: psycopg.Connection[Any], database: str
):
    """Each GET /blocked would else read a year of them; the rest of the state stays."""
    now_ms = int(time.time() * 1000)
    progress(connection, now_ms)
    state(connection, "over", now_ms, until_ms=now_ms - 2 * DAY_MS)
    state(connection, "just over", now_ms, until_ms=now_ms - DAY_MS // 2)
    state(connection, "stands", now_ms, until_ms=FOREVER)
    assert apply_retention(database, 90) == RetentionResult(ended_blocks=1)
    rows = connection.execute(
        "SELECT username, in_a_row FROM lock_states WHERE blocked_until_ms IS NULL"
    )
    assert rows.fetchall() == [("over", 7)]


def days_of_the_audit(connection: psycopg.Connection[Any]) -> list[str]:
    """The partitions that have rows."""
    rows = connection.execute("SELECT DISTINCT tableoid::regclass::text FROM audit")
    return [day for (day,) in rows]


def test_a_replayed_week_is_divided_among_the_days_of_the_audit(
    connection: psycopg.Connection[Any], database: str
):
    """Even while a backup reads the audit, and when its database has been replaced meanwhile."""
    store = Store(database, 2)
    store.open()
    first_ms = int(time.time() * 1000) - 7 * DAY_MS
    records = [
        Record(n, first_ms + n * DAY_MS, None, encode(Attempt(new_id(), 0, "ana", False)))
        for n in range(6)
    ]
    for _ in range(2):
        progress_now = store.claim("me")
        with psycopg.connect(database) as backup:
            backup.execute("SELECT count(*) FROM audit")
            assert store.apply(progress_now, decide(0, decode(records), {}, None))
        days = days_of_the_audit(connection)
        assert len(days) == 6
        for day in days:  # a database of a week ago takes its place
            connection.execute(f"DROP TABLE {day}")
        connection.execute("UPDATE partition_progress SET next_offset = 0")
    store.close()


def test_a_day_that_cannot_be_made_is_asked_for_again(
    connection: psycopg.Connection[Any], database: str
):
    """Nothing is decided without its audit row, and nothing goes wrong but this one commit."""
    store = Store(database, 2)
    store.open()
    progress_now = store.claim("me")
    record = Record(0, noon_ms(100), None, encode(Attempt(new_id(), 0, "ana", False)))
    batch = decide(0, decode([record]), {}, None)
    with psycopg.connect(database) as analyzing:
        analyzing.execute("LOCK TABLE audit IN SHARE UPDATE EXCLUSIVE MODE")  # as ANALYZE does
        with pytest.raises(psycopg.errors.LockNotAvailable):
            store.apply(progress_now, batch)
    assert store.apply(progress_now, batch)
    store.close()
    assert len(days_of_the_audit(connection)) == 1


def test_a_state_that_is_written_anew_meanwhile_stays(
    connection: psycopg.Connection[Any], database: str
):
    """The worker's commit and the deletion take turns at the row, and the newer state counts."""
    progress(connection, 50 * DAY_MS)
    state(connection, "ana", 1)
    deletion = threading.Thread(target=apply_retention, args=(database, 90))
    with psycopg.connect(database) as worker:
        worker.execute("UPDATE lock_states SET last_ms = %s", (50 * DAY_MS,))
        deletion.start()
        while not retention_waits(connection):
            pass
    deletion.join()
    assert users(connection) == ["ana"]


LEFT = {
    "erase_deleted": "SELECT 1 FROM erasures",
    "drop_old_audit": "SELECT 1 FROM audit",
    "delete_old_rows": "SELECT 1 FROM quarantine",
    "forget_lock_states": "SELECT 1 FROM lock_states WHERE username = 'due'",
    "clear_ended_blocks": "SELECT 1 FROM lock_states WHERE blocked_until_ms IS NOT NULL",
}
"""By which function something goes, and what there is until it has."""


@pytest.mark.parametrize("broken", [*LEFT, "make_audit_partitions", "count_password_forms"])
def test_a_step_that_fails_keeps_no_other_from_being_done(
    connection: psycopg.Connection[Any], database: str, broken: str
):
    """A quarantine too large to look through in time kept deleted names in the audit for good."""
    now_ms = int(time.time() * 1000)
    progress(connection, now_ms)
    audit(connection, 100, offset=1)
    connection.execute("INSERT INTO quarantine VALUES (0, 1, 7, 0, NULL, 'junk', 'why')")
    connection.execute("INSERT INTO erasures VALUES ('eve', 2, 1, 0)")
    state(connection, "due", now_ms - FORGET_MS - 2 * DAY_MS)
    state(connection, "over", now_ms, until_ms=now_ms - 2 * DAY_MS)
    assert all(connection.execute(there).fetchone() for there in LEFT.values())
    connection.execute(f"ALTER FUNCTION {broken} RENAME TO gone")
    with pytest.raises(psycopg.errors.UndefinedFunction, match=broken):
        apply_retention(database, 90)
    left = {name for name, there in LEFT.items() if connection.execute(there).fetchone()}
    assert left == {broken} & LEFT.keys()


def topic_configs(kafka: str) -> dict[str, tuple[str, str]]:
    """Retention and segment time of each of our topics."""
    admin = AdminClient({"bootstrap.servers": kafka})
    resources = [
        ConfigResource(ResourceType.TOPIC, n) for n in (ATTEMPTS, VERDICTS, BLOCKS, SOURCES, EVENTS)
    ]
    configs = {r.name: f.result() for r, f in admin.describe_configs(resources).items()}
    return {n: (c["retention.ms"].value, c["segment.ms"].value) for n, c in configs.items()}


def test_topics_are_made_with_their_retention_and_follow_the_settings(topics: str):
    """A new topic and one that exists; segments are closed in time to be deleted."""
    assert topic_configs(topics) == {
        ATTEMPTS: ("604800000", "75600000"),
        VERDICTS: ("3600000", "450000"),
        BLOCKS: ("3600000", "450000"),
        SOURCES: ("3600000", "450000"),
        EVENTS: ("604800000", "75600000"),
    }
    admin = AdminClient({"bootstrap.servers": topics})
    create_topics(admin, 4, 1, Retention(attempts=0, news=2, events=24))
    wanted = {
        ATTEMPTS: ("-1", "75600000"),
        VERDICTS: ("7200000", "900000"),
        BLOCKS: ("7200000", "900000"),
        SOURCES: ("7200000", "900000"),
        EVENTS: ("86400000", "10800000"),
    }
    wait_until(lambda: topic_configs(topics) == wanted)
