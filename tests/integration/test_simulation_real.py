"""The simulation's servers in memory behave as the real ones do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import pytest

from events.messages import Blocked, Policy, SetPolicy, Unblocked, decode_blocks, decode_verdicts
from events.partitioner import partition_of
from events.topics import BLOCKS, VERDICTS
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot
from gateway.blocklist.snapshot import load_snapshot
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.harness.owner import read_all
from tests.integration.real_owners import Pair
from tests.kafka import new_topics
from tests.simulation.owners import Silence
from tests.simulation.owners import Store as ModelStore
from tests.simulation.replay import Said
from tests.simulation.schedule import Faults, Scenario, first_policy, number, right, unblock, wrong
from tests.simulation.world import PARTITION, World
from workers.decision.batch import decide, decode, users_of
from workers.partition import worker
from workers.partition.deduplication import DEDUPLICATION_OFFSETS
from workers.partition.store import Progress, Store

T = TypeVar("T")

SAMPLES = 10
ACTIONS = 60


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(worker, "logger", Silence())


@pytest.fixture
def many_topics(kafka: str) -> str:
    """The topics, with a partition for each sample."""
    new_topics(kafka, SAMPLES)
    return kafka


@pytest.fixture
def many_partitions(database_url: str) -> str:
    """The tables, with a partition for each sample."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        settle_partitions(connection, SAMPLES)
    return database_url


@pytest.mark.slow
def test_schedules_end_alike_on_real_servers(many_topics: str, many_partitions: str) -> None:
    """Steps, crashes and unknown outcomes in the same order: the same rows, verdicts and blocks."""
    for sample in range(SAMPLES):
        dice = random.Random(sample)
        names = (f"ana{n}" for n in range(1_000))
        user = next(name for name in names if partition_of(name, SAMPLES) == sample)
        pair = Pair(
            Scenario(
                [wrong(2, user), wrong(3, user), unblock(4, user)],
                before=[first_policy(), wrong(1, user)],
                later=[wrong(5, user), right(6, user), wrong(7, user)],
                owners=3,
                faults=Faults(crash=1, lost=2),
            ),
            many_topics,
            many_partitions,
            sample,
        )
        trail = []
        try:
            for byte in dice.randbytes(60):
                choice = pair.model.pick(byte)
                if choice is None:
                    break
                trail.append(str(choice))
                pair.do(choice)
            pair.settle(wrong(8, user))
            assert real_tables(many_partitions, sample) == model_tables(pair.model.world)
        except Exception as error:
            raise AssertionError(f"sample {sample} differs after {trail}") from error
        finally:
            pair.close()
    check_topics(many_topics, many_partitions)


def model_tables(world: World) -> tuple[Any, ...]:
    """The tables in memory, without the times, which differ."""
    tables = world.tables
    assert tables.progress is not None
    return (
        tables.progress.position,
        [
            (
                *(one.generation, one.offset, b"" if one.row.kind == "policy" else one.row.id),
                *(one.row.user, one.row.right),
                *(one.row.decision, one.row.change, one.row.policy_version),
            )
            for one in tables.taken
            if one.row is not None
        ],
        {
            user: (
                len(s.failures_ms),
                s.consecutive_failures,
                s.blocks,
                s.until_ms is not None,
                *position,
            )
            for user, (s, position, _) in tables.states.items()
        },
    )


def real_tables(database_url: str, partition: int) -> tuple[Any, ...]:
    """The same of the real tables."""
    with psycopg.connect(database_url) as connection:
        [position] = connection.execute(
            "SELECT generation, next_offset FROM partition_progress WHERE partition = %s",
            (partition,),
        )
        audit = connection.execute(
            "SELECT generation, log_offset, CASE kind WHEN 'policy' THEN '' ELSE id END, username,"
            " right_password, decision, change, policy_version"
            " FROM audit WHERE partition = %s ORDER BY generation, log_offset",
            (partition,),
        ).fetchall()
        states = connection.execute(
            "SELECT username, cardinality(failures_ms), in_a_row, blocks,"
            " blocked_until_ms IS NOT NULL, generation, log_offset"
            " FROM lock_states WHERE partition = %s",
            (partition,),
        )
        return position, audit, {user: tuple(rest) for user, *rest in states}


def check_topics(kafka: str, database_url: str) -> None:
    """Each decision's verdict is out, and who heard all news knows who is blocked."""
    with psycopg.connect(database_url) as connection:
        decided = {id_ for (id_,) in connection.execute("SELECT id FROM audit")}
        blocked: dict[str, int] = dict(
            connection.execute(
                "SELECT username, blocked_until_ms FROM lock_states WHERE blocked_until_ms > 0"
            ).fetchall()
        )
    assert decided <= {
        verdict.id for value in read_all(kafka, VERDICTS, 0) for verdict in decode_verdicts(value)
    }
    news = [decode_blocks(value) for value in read_all(kafka, BLOCKS, 0)]
    blocklist = Blocklist()
    blocklist.load(BlocklistSnapshot(SAMPLES, {}, {}))
    for item in news:
        blocklist.apply([item], 0.0)
        if blocklist.doubt:  # as by the late claim of an owner that has died
            blocklist.load(load_snapshot(database_url))
    users = {item.user for item in news if isinstance(item, Blocked | Unblocked)}
    now_ms = int(time.time() * 1000)
    said = {user: blocklist.blocked_until(user, now_ms) for user in users}
    assert blocked == {user: until for user, until in said.items() if until}
    assert blocked


class Direct:
    """A caller of the model's store without a scheduler."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.partition = PARTITION

    def call(self, _: str, do: Callable[[], T]) -> T:
        """At once."""
        return do()


class Client:
    """One owner's two stores: the model's and the real one."""

    def __init__(self, world: World, name: str, database_url: str) -> None:
        self.name = name
        self.model = ModelStore(Direct(world, name))  # type: ignore[arg-type]
        self.real = Store(database_url, PARTITION)
        self.real.record_not_to_blame = True
        self.real.open()
        self.at: tuple[Progress, Progress] | None = None
        """Its belief of its progress, on both sides."""

    def both(self, do: Callable[[Any, Progress], object]) -> tuple[object, object]:
        """The outcome of this on both sides."""
        assert self.at is not None
        sides = ((self.model, self.at[0]), (self.real, self.at[1]))
        model, real = (outcome(do, store, progress) for store, progress in sides)
        return model, real


def outcome(do: Callable[[Any, Progress], object], store: object, progress: Progress) -> object:
    """The outcome of a call."""
    try:
        result = do(store, progress)
    except psycopg.OperationalError:
        return psycopg.OperationalError  # whichever: the owner claims again
    if isinstance(result, Progress):
        return comparable(result)
    return list(result) if isinstance(result, list) else result


def comparable(progress: Progress) -> Progress:
    """Without the epoch, which a clock tells, and layouts, which the world in memory has not."""
    return progress._replace(epoch=0, used=0)


def some_record(dice: random.Random, n: int) -> Said:
    """The nth record of the log."""
    user = dice.choice(("ana", "bob"))
    kinds: list[Callable[[], Said]] = [
        lambda: right(n, user),
        lambda: unblock(n, user),
        lambda: None,
        lambda: SetPolicy(number(n), 0, Policy(version=n, threshold=2)),
        *[lambda: wrong(n, user)] * 5,
    ]
    return dice.choice(kinds)()


@pytest.mark.parametrize("seed", range(3))
def test_the_store_in_memory_answers_as_the_real_one(database: str, seed: int) -> None:
    """The same calls by two owners in a random order have the same outcomes."""
    dice = random.Random(seed)
    world = World(reach=DEDUPLICATION_OFFSETS)
    for n in range(1, 40):
        world.append(some_record(dice, n))
    clients = [Client(world, name, database) for name in "AB"]
    try:
        for _ in range(ACTIONS):
            act(dice, world, dice.choice(clients), clients, database)
        assert world.tables.taken
    finally:
        for client in clients:
            client.real.close()


def act(dice: random.Random, world: World, client: Client, clients: list[Client], url: str) -> None:
    """One random call, or the end of all sessions."""
    what = dice.choice(("claim", "move", "cut", *["apply"] * 5, *["look"] * 5))
    if what == "cut":
        end_sessions(url)
        for each in clients:
            each.model.cut = each.at is not None
    elif what == "claim" or client.at is None:
        client.at = client.model.claim(client.name), client.real.claim(client.name)
        assert comparable(client.at[0]) == comparable(client.at[1])
    elif what == "move":
        new, topic = client.at[0].generation + 1, f"t{dice.random()}"
        model, real = client.both(
            lambda store, p: store.move(p._replace(generation=new, topic_id=topic), 2)
        )
        assert model == real
    elif what == "apply":
        apply(dice, world, client)
    else:
        start = dice.randrange(5)
        for look in (
            lambda store, p: store.progress(),
            lambda store, p: store.states({"ana", "bob", "eve"}),
            lambda store, p: store.audit_rows(p.generation, start, start + 9),
            lambda store, p: store.recent_requests(p),
            lambda store, p: store.append_time_ms(p.next_offset - 1),
        ):
            model, real = client.both(look)
            assert model == real


def apply(dice: random.Random, world: World, client: Client) -> None:
    """The next records, as this owner believes that they are the next ones."""
    assert client.at is not None
    progress = client.at[0]
    records = world.life.records[progress.next_offset :][: dice.randint(1, 4)]
    decoded = decode(records)
    states = world.read_states(users_of(decoded))
    batch = decide(progress.next_offset, decoded, states, progress.policy)
    model, real = client.both(lambda store, p: store.apply(p, batch))
    assert model == real
    if model is True:
        client.at = (
            client.at[0]._replace(next_offset=batch.to_offset, policy=batch.policy),
            client.at[1]._replace(next_offset=batch.to_offset, policy=batch.policy),
        )


def end_sessions(database_url: str) -> None:
    """As when the server is started again."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'cerrojo worker' AND datname = current_database()"
        )
