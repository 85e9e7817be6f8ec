"""Other policies over an audit in a real Postgres."""

from __future__ import annotations

import random

import psycopg

from events.messages import Attempt, AttemptsMessage, Policy, SetPolicy, Unblock, encode, new_id
from settings import Settings
from tests.harness.command import cerrojo, said
from workers.commands.whatif import Figures, changed, in_force, run
from workers.decision.batch import Record, decide, decode, users_of
from workers.partition.store import Store

NOW = 1_795_491_529_733
POLICY = Policy(1, threshold=3, block_ms=20_000, block_max_ms=60_000)


def fill(database: str, partition: int, names: str) -> None:
    """Some thousand attempts at a few accounts, most of which succeed; some are unblocked."""
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
            helped = dice > 0.99
            attempt = Attempt(new_id(), 1, user, dice < 0.5)
            messages.append(Unblock(new_id(), 1, user) if helped else attempt)
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
            "SELECT count(*) FILTER (WHERE change = 1),"
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


def test_a_person_gets_a_table_and_a_plot(database: str):
    """By what the policies were called."""
    fill(database, 0, "abcd")
    config = Settings(database_url=database)
    shown = str(run(config, {"mine": changed(in_force(config), "threshold=4")}, 0, 1))
    assert "mine" in shown
    assert "█" in shown
