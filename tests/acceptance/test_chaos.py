"""A short form of `make chaos`, and the oracle's judgement of real workers that are wrong."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from psycopg.sql import SQL, Identifier

from events.messages import Attempt, encode, new_id
from loadtest import histories
from local.servers import Servers
from oracle.verify import AUDIT_LOG, verify
from sql.migrate import migrate
from tests.chaos.database import Database
from tests.chaos.load import Load
from tests.chaos.run import doubts, run
from tests.chaos.topology_changes import Changes
from tests.chaos.world import PARTITIONS, World, keep_for_the_oracle
from tests.harness.evidence import gather
from tests.harness.oracle import differences
from tests.harness.owner import REPLIES, Owners, put, records_from, work, wrong
from tests.kafka import new_topics
from workers.decision import batch
from workers.decision.batch import Batch, Record, decode, users_of
from workers.partition.worker import Worker

SEED = 5
FAULTS = [
    "worker",
    "gateway",
    "worker-in-commit",
    "database",
    "worker",
    "broker-frozen",
    "workers",
    "worker-in-commit",
    "database-frozen",
    "worker-frozen",
]

NewWorker = Callable[[str], Worker]


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Servers]:
    """A Kafka and a Postgres that may be killed and frozen, and note when commits were made."""
    with Servers(tmp_path_factory.mktemp("chaos"), cache_dir) as started:
        Database(started).keep_times_of_commits()
        yield started


class Wrong:
    """A partition, its log, and owners that do what they must not."""

    def __init__(self, kafka: str, database_url: str, new: NewWorker) -> None:
        self.kafka = kafka
        self.database_url = database_url
        self.new = new
        self.worker = new("wrong")
        self.worker.claim()
        work(self.worker, until=1)  # the policy

    def put(self, *outcomes: str) -> list[Record]:
        """Attempts with right and wrong passwords, and they as they stand in the log."""
        assert self.worker.progress is not None
        put(
            self.kafka,
            *(
                encode(
                    wrong("ana") if outcome == "wrong" else Attempt(new_id(), REPLIES, "ana", True)
                )
                for outcome in outcomes
            ),
        )
        return records_from(self.kafka, self.worker.progress.next_offset)

    def commit(self, decided: Batch) -> None:
        """Commit, and publish nothing."""
        assert self.worker.commit(decided)

    def publish(self, decided: Batch) -> None:
        """Publish, and wait until it is out."""
        self.worker._publisher.publish(1, decided.audit)
        assert self.worker._publisher.wait(10)

    def differences(self) -> list[str]:
        """The differences that the oracle finds."""
        return differences(gather(self.kafka, self.database_url, None, exact=True, patience=0))


@pytest.fixture
def owned(own_servers: Servers) -> Iterator[Wrong]:
    """Topics and a database of this test's own, in which the policy stands."""
    kafka = own_servers.kafka_bootstrap_servers
    new_topics(kafka, PARTITIONS)
    keep_for_the_oracle(AdminClient({"bootstrap.servers": kafka}))
    name = f"wrong_{secrets.token_hex(6)}"
    with psycopg.connect(own_servers.database_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    url = own_servers.url(name)
    migrate(url)
    with Owners(kafka) as owners:
        yield Wrong(kafka, url, lambda owner: owners.new(url, owner))


def do_it_right(owned: Wrong) -> None:
    """Nothing to complain about, also where an owner takes over from a dead one."""
    decided = owned.worker.decide(owned.put(*["wrong"] * 5, "right"))
    owned.commit(decided)
    successor = owned.new("successor")
    successor.claim()
    owned.put("right", "wrong")
    work(successor, until=9)


def skip_a_row(owned: Wrong) -> None:
    """A decision that is not kept."""
    decided = owned.worker.decide(owned.put(*["wrong"] * 3))
    row = decided.audit.pop(1)
    owned.commit(decided)
    decided.audit.insert(1, row)
    owned.publish(decided)


def apply_twice(owned: Wrong) -> None:
    """A batch that is decided again upon its own outcome."""
    records = owned.put("wrong", "wrong")
    decided = owned.worker.decide(records)
    decoded = decode(records)
    states = {user: decided.states[user][0] for user in users_of(decoded)}
    again = batch.decide(decided.from_offset, decoded, states, decided.policy)
    decided.states = again.states
    owned.commit(decided)
    owned.publish(decided)


def publish_before_commit_and_die(owned: Wrong) -> None:
    """The successor comes to the same verdict, which was out before it was true."""
    owned.publish(owned.worker.decide(owned.put("wrong")))
    successor = owned.new("successor")
    successor.claim()
    work(successor, until=2)


def commit_the_next_before_the_last_is_acknowledged(owned: Wrong) -> None:
    """All is said in the end, for once."""
    first = owned.worker.decide(owned.put("wrong"))
    owned.commit(first)
    second = owned.worker.decide(owned.put("wrong"))
    owned.commit(second)
    owned.publish(first)
    owned.publish(second)


def commit_the_next_and_die(owned: Wrong) -> None:
    """The successor says one batch again, and nobody says the one before it."""
    owned.commit(owned.worker.decide(owned.put("wrong")))
    owned.commit(owned.worker.decide(owned.put("wrong")))
    owned.new("successor").claim()


def decide_out_of_order(owned: Wrong) -> None:
    """The last one first."""
    records = owned.put("wrong", "right")
    decided = owned.worker.decide(records[::-1])
    decided.last, decided.to_offset = records[-1], records[-1].offset + 1
    owned.commit(decided)
    owned.publish(decided)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("do", "says"),
    [
        (do_it_right, None),
        (skip_a_row, "was never decided"),
        (apply_twice, "against it"),
        (publish_before_commit_and_die, "before its commit"),
        (commit_the_next_before_the_last_is_acknowledged, "before the verdicts of"),
        (commit_the_next_and_die, "was never said"),
        (decide_out_of_order, "against it"),
    ],
)
def test_the_oracle_notices_real_workers_that_are_wrong(
    owned: Wrong, do: Callable[[Wrong], None], says: str | None
):
    """On a real Kafka and a real Postgres, by workers that are broken on purpose."""
    do(owned)
    found = owned.differences()
    if says is None:
        assert found == []
    else:
        assert any(says in sentence for sentence in found), found


@pytest.mark.slow
def test_hosts_partitions_and_policy_change_under_load(own_servers: Servers, tmp_path: Path):
    """No attempt is lost or out of order, by the log and by what clients saw.

    See the changes for what else is so.
    """
    new_topics(own_servers.kafka_bootstrap_servers, PARTITIONS)
    with psycopg.connect(own_servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE changes")
    url = own_servers.url("changes")
    deadline = 10.0
    world = World(tmp_path, own_servers, url, {"CERROJO_DEADLINE_SECONDS": str(deadline)})
    try:
        world.start()
        load = Load(world.doors, SEED, deadline=deadline)
        changes = Changes(world, load)
        asyncio.run(_change_all(changes))
        evidence = gather(world.kafka, url, load.answers, exact=True)
        audit = verify(url, world.opener(AUDIT_LOG))
    finally:
        world.stop()
    assert differences(evidence) == []
    assert doubts(audit) == []
    assert list(histories.gaps(load.calls, world.eras)) == []
    assert {row.policy_version for row in evidence.audit if row.kind == "attempt"} == {1, 2}


async def _change_all(changes: Changes) -> None:
    await changes.load.start()
    await changes.a_host_comes_and_leaves()
    await changes.partitions_are_added_by_hand()
    await changes.the_policy_changes()
    await changes.the_partitions_become_more()
    await changes.the_partitions_become_more_although_processes_die()
    await changes.have_come_everywhere()
    await changes.load.stop()


def test_a_short_chaos_loses_nothing_and_counts_nothing_twice(own_servers: Servers, tmp_path: Path):
    """Each cheap fault once or twice under load; the log explains all that was kept and said.

    The last of this module: the processes that it kills take some seconds to end.
    """
    new_topics(own_servers.kafka_bootstrap_servers, PARTITIONS)
    said: list[str] = []
    done = run(own_servers, tmp_path, SEED, FAULTS, said.append, pause=0.5, warm=0.0)
    assert done.differences == [], "\n".join(said)
    assert len(done.outcomes) == len(FAULTS)
    assert {200, 401, 429} <= {answer.status for answer in done.evidence.answers or []}
