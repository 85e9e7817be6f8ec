"""Other policies over an audit in a real Postgres."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from events.messages import (
    Attempt,
    AttemptsMessage,
    Block,
    Policy,
    SetPolicy,
    Unblock,
    encode,
    new_id,
)
from settings import Settings
from sql.roles import WORKERS
from sql.shadow_figures import Counted
from tests.harness.command import cerrojo, said
from tests.postgres import as_role
from workers.commands import shadow as commands
from workers.commands import whatif
from workers.commands.whatif import changed, in_force, run
from workers.decision.batch import Record, decide, decode, users_of
from workers.decision.trial import Figures
from workers.partition.store import Store
from workers.relay import shadow

NOW = 1_795_491_529_733
POLICY = Policy(1, threshold=3, block_ms=20_000, block_max_ms=60_000)


def fill(database: str, partition: int, names: Sequence[str]) -> None:
    """Some thousand attempts at a few accounts, most of which succeed.

    Some accounts are unblocked, and some are blocked by hand.
    """
    luck = random.Random(partition)
    store = Store(database, partition)
    store.open()
    progress = store.claim("me")
    for _ in range(8):
        messages: list[AttemptsMessage] = []
        if progress.next_offset == 0:
            messages.append(SetPolicy(new_id(), 0, POLICY))
        for _ in range(400):
            user, dice = luck.choice(names), luck.random()
            if dice > 0.995:
                by_hand = Block(new_id(), 1, user, length_ms=luck.choice((0, 5_000, 50_000)))
                messages.append(by_hand)
            elif dice > 0.97:
                messages.append(Unblock(new_id(), 1, user))
            else:
                messages.append(Attempt(new_id(), 1, user, dice < 0.5))
        start = progress.next_offset
        records = [
            Record(start + n, NOW + 500 * (start + n), b"k", encode(message))
            for n, message in enumerate(messages)
        ]
        decoded = decode(records)
        batch = decide(start, decoded, store.states(users_of(decoded)), progress.policy)
        assert store.apply(progress, batch)
        progress = progress._replace(next_offset=batch.to_offset, policy=batch.policy)
    store.close()


def test_the_policy_in_force_gives_the_blocks_of_the_audit(database: str):
    """On however many processes; a policy that is laxer gives fewer."""
    for partition, names in enumerate(("abcdefgh", "ijkl", "mnopqrstuvwxyz")):
        fill(database, partition, names)
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE change = 1 AND kind = 'attempt'),"
            " count(*) FILTER (WHERE decision = 2 AND right_password),"
            " count(*) FILTER (WHERE decision = 2 AND NOT right_password) FROM audit"
        ).fetchone()
    assert row is not None
    assert min(row) > 10
    config = Settings(database_url=database)
    now = in_force(config)
    policies = {"in force": now, "laxer": changed(now, "threshold=6")}
    told: list[tuple[int, int]] = []
    for processes in (1, 3):
        outcome = run(config, policies, 0, processes, lambda *said: told.append(said))
        assert outcome.figures["as it was"] == outcome.figures["in force"] == Figures(*row)
        assert outcome.figures["laxer"].blocks < row[0]
        assert outcome.attempts == 3 * 8 * 400
        assert told[-1] == (outcome.attempts, outcome.attempts)


def test_nothing_is_held_between_two_reads(database: str, monkeypatch: pytest.MonkeyPatch):
    """It may take minutes, in which nothing that is deleted could be cleaned up."""
    monkeypatch.setattr(whatif, "OFFSETS_AT_ONCE", 1_000)
    fill(database, 0, "abcdefgh")
    reads = whatif._attempts(database, 0, 0, 1)
    found = [next(reads)]
    with psycopg.connect(database) as connection:
        states = connection.execute(
            "SELECT state FROM pg_stat_activity WHERE application_name = 'cerrojo whatif'"
            " AND datname = current_database()"
        ).fetchall()
    assert states == [("idle",)]
    found += reads
    times = [row[1] for rows in found for row in rows]
    assert len(found) == 4
    assert len(times) == 8 * 400
    assert times == sorted(times)


def test_it_leaves_room_for_what_runs_beside_it(database: str, monkeypatch: pytest.MonkeyPatch):
    """In a worker host's container all cores' processes would be more than its memory."""
    fill(database, 0, "abcd")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    config = Settings(database_url=database)
    running = []
    run(
        *(config, {"in force": in_force(config)}, 0),
        progress=lambda *_: running.append(len(multiprocessing.active_children())),
    )
    assert max(running) <= 2


def test_the_command_ends_in_a_document(database: str):
    """Or in the sentence that says what is wrong."""
    fill(database, 0, "abcd")
    env = {"DATABASE_URL": database}
    found = said(env, "whatif", "--days", "36500", "--policy", "threshold=9", "--processes", "2")
    assert found["attempts"] == 8 * 400
    assert list(found["policies"]) == ["as it was", "in force", "threshold=9"]
    assert found["policies"]["in force"] == found["policies"]["as it was"]
    blocks = [figures["blocks"] for figures in found["policies"].values()]
    assert blocks[0] > blocks[2] > 0
    refused = cerrojo(env, "whatif", "--policy", "threshold=0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("--policy threshold=0: ")


def test_a_shadow_decides_what_comes_after_its_begin(database: str):
    """By the policy that it was begun with, until it ends; another one takes its place."""
    fill(database, 0, "abcd")
    env, config = {"DATABASE_URL": database}, Settings(database_url=database)
    nothing = cerrojo(env, "shadow")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("No policy is tried. `cerrojo shadow begin")
    said(env, "shadow", "begin", "threshold=2")
    begun = said(env, "shadow", "begin", "threshold=9")
    assert (begun["policy"]["threshold"], begun["policy"]["block_ms"]) == (9, POLICY.block_ms)
    found = said(env, "shadow")
    assert (found["policy"], found["since_ms"]) == (begun["policy"], begun["since_ms"])
    assert found["attempts"] == 0
    half = NOW + 500 * (1 + 4 * 400)  # the first record is the policy
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE shadow_policy SET since_ms = %s", (half,))
    found = said(env, "shadow", "--processes", "2")
    expected = run(config, {"shadow": changed(in_force(config), "threshold=9")}, half, 1)
    assert found["attempts"] == expected.attempts == 4 * 400
    assert found["policies"]["shadow"] == expected.figures["shadow"]._asdict()
    assert found["policies"]["in force"]["blocks"] > found["policies"]["shadow"]["blocks"] > 0
    said(env, "shadow", "end")
    assert cerrojo(env, "shadow").returncode == 1


def test_a_shadow_undoes_no_change_that_came_after_its_begin(database: str):
    """Somebody else's, of which who promotes it may know nothing. It is tried on."""
    store = Store(database, 0)
    store.open()
    first = decode([Record(0, NOW, b"k", encode(SetPolicy(new_id(), 0, POLICY)))])
    assert store.apply(store.claim("me"), decide(0, first, {}, None))
    store.close()
    env = {"DATABASE_URL": database}
    said(env, "shadow", "begin", "threshold=9")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE topology SET partitions = 1")
        connection.execute(
            "UPDATE partition_progress SET policy = policy || %s",
            (Jsonb({"version": 2, "final_failures": 0}),),
        )
    refused = cerrojo(env, "shadow", "promote")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Policy 2 is in force, and this one was made from policy 1")
    assert said(env, "shadow")["policy"]["threshold"] == 9


def begin(database: str, changes: str) -> None:
    """Try a policy, as if since the audit's begin."""
    said({"DATABASE_URL": database}, "shadow", "begin", changes)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE shadow_policy SET since_ms = %s", (NOW,))


def kept(connection: psycopg.Connection[Any]) -> Counted:
    """The figures beside the policy that is tried."""
    row = connection.execute("SELECT figures FROM shadow_policy").fetchone()
    assert row is not None
    return msgspec.convert(row[0], Counted)


def test_the_relay_counts_what_the_command_counts(database: str, monkeypatch: pytest.MonkeyPatch):
    """As the audit grows, however little it reads at a time; and a successor comes to the same."""
    monkeypatch.setattr(shadow, "ROWS", 700)
    fill(database, 0, "abcdefgh")
    begin(database, "threshold=2")
    config = Settings(database_url=database)
    url = as_role(database, WORKERS)
    with psycopg.connect(url, autocommit=True) as connection:
        first = shadow.step(connection, None)
        before = kept(connection)
        fill(database, 1, "ijkl")
        assert shadow.step(connection, first) is first
        after = kept(connection)
        expected = commands.compare(config, commands.tried(config), 2)
        assert before.attempts == 8 * 400
        assert after.attempts == expected.attempts == 2 * 8 * 400
        for figures, name in (
            *((after.as_it_was, "as it was"), (after.in_force, "in force")),
            *((after.shadow, "shadow"),),
        ):
            assert figures == expected.figures[name]._asdict()
        assert after.shadow["blocks"] > after.in_force["blocks"] > 10
        assert (after.one_of, after.version, after.since_ms) == (1, 1, NOW)
        assert after.as_of_ms > before.as_of_ms
        shadow.step(connection, None)
        assert msgspec.structs.replace(kept(connection), as_of_ms=0) == msgspec.structs.replace(
            after, as_of_ms=0
        )


def test_a_generation_is_counted_after_the_one_before(database: str, monkeypatch):
    """An account may have come from another partition with it."""
    monkeypatch.setattr(shadow, "ROWS", 100)
    fill(database, 0, "abcd")
    fill(database, 1, "efgh")
    with psycopg.connect(database) as connection:
        # Partition 0 has what was partition 1's, in a later generation.
        connection.execute(
            "UPDATE audit SET username = chr(ascii(username) - 4)"
            " WHERE partition = 1 AND username <> ''"
        )
        connection.execute("UPDATE audit SET generation = 3 WHERE partition = 0")
        connection.execute("UPDATE partition_progress SET generation = 3")
    begin(database, "threshold=2")
    config = Settings(database_url=database)
    with psycopg.connect(database, autocommit=True) as connection:
        shadow.step(connection, None)
        expected = commands.compare(config, commands.tried(config), 1)
        assert kept(connection).shadow == expected.figures["shadow"]._asdict()
        assert kept(connection).attempts == expected.attempts


def test_what_is_compared_begins_anew_where_it_changes(database: str):
    """Another trial, another policy in force, a database that went back."""
    fill(database, 0, "abcd")
    begin(database, "threshold=2")
    with psycopg.connect(database, autocommit=True) as connection:
        count = shadow.step(connection, None)
        strict = kept(connection)
        begin(database, "threshold=9")
        assert shadow.step(connection, None) is not count
        assert kept(connection).shadow["blocks"] < strict.shadow["blocks"]
        other = shadow.step(connection, count)
        assert other is not count
        connection.execute(
            'UPDATE partition_progress SET policy = policy || \'{"version": 2, "threshold": 9}\''
        )
        now = shadow.step(connection, other)
        assert now is not other
        assert kept(connection).version == 2
        assert kept(connection).in_force == kept(connection).shadow
        half = 1 + 4 * 400
        connection.execute("DELETE FROM audit WHERE log_offset >= %s", (half,))
        connection.execute("UPDATE partition_progress SET next_offset = %s", (half,))
        assert shadow.step(connection, now) is not now
        assert kept(connection).attempts == 4 * 400
        said({"DATABASE_URL": database}, "shadow", "end")
        assert shadow.step(connection, now) is None


def test_of_too_many_accounts_a_part_is_counted(database: str, monkeypatch: pytest.MonkeyPatch):
    """So memory is bounded, and it is said that the figures are estimates."""
    monkeypatch.setattr(shadow, "MOST", 30)
    names = [f"account {number}" for number in range(120)]
    fill(database, 0, names)
    begin(database, "threshold=9,forget=0,forget-each=0")
    with psycopg.connect(database, autocommit=True) as connection:
        count = shadow.step(connection, None)
        found = kept(connection)
        assert count is not None
        there = shadow.progress(connection)
        assert there is not None
        assert not count.is_too_large(there)
        assert found.one_of in (2, 4, 8)
        assert found.attempts % found.one_of == 0
        rows = connection.execute("SELECT username FROM audit WHERE username <> ''").fetchall()
        whose = {crc32(user.encode()) >> 16 for (user,) in rows}
        counted = {each for each in whose if each % found.one_of == 0}
        assert 0 < len(counted) < len(whose)
        share = sum((crc32(user.encode()) >> 16) in counted for (user,) in rows)
        assert found.attempts == share * found.one_of


def test_nothing_is_forgotten_before_all_partitions_are_read_so_far(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    """What stands against an account counts until its own partition's time has come."""
    monkeypatch.setattr(shadow, "ROWS", 50)
    monkeypatch.setattr(shadow, "MOST", 140)
    fill(database, 0, [f"account {number}" for number in range(300)])
    fill(database, 1, [f"busy {number}" for number in range(40)])
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE partition_progress SET policy = policy || '{\"forget_ms\": 100000}'"
        )
    begin(database, "threshold=2")
    config = Settings(database_url=database)
    with psycopg.connect(database, autocommit=True) as connection:
        shadow.step(connection, None)
        found = kept(connection)
        expected = commands.compare(config, commands.tried(config), 1)
        assert (found.one_of, found.attempts) == (1, expected.attempts)
        assert found.shadow == expected.figures["shadow"]._asdict()
        assert found.in_force == expected.figures["in force"]._asdict()


def test_a_person_gets_a_table_and_a_plot(database: str):
    """By what the policies were called."""
    fill(database, 0, "abcd")
    config = Settings(database_url=database)
    shown = str(run(config, {"mine": changed(in_force(config), "threshold=4")}, 0, 1))
    assert "mine" in shown
    assert "█" in shown
