"""A gateway's knowledge of the blocked, from a real Kafka and a real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from confluent_kafka import Consumer, Message
from confluent_kafka.admin import AdminClient

from events.clients import read_batch
from events.messages import FOREVER, Heartbeat, Policy, encode
from events.topics import BLOCKS, create_topics
from gateway.blocklist import consumer
from gateway.blocklist.blocklist import Blocklist
from gateway.blocklist.consumer import BlocklistConsumer
from settings import Settings
from tests.harness.owner import PARTITION, PATIENCE_SECONDS, Owners, put, work, wrong
from tests.kafka import remove_topics, set_config
from workers.partition.worker import Worker

FOR_GOOD = Policy(version=1, threshold=2, block_ms=0)

TABLES = ("partition_progress", "lock_states", "audit")


@asynccontextmanager
async def followed(kafka: str, database: str) -> AsyncIterator[Blocklist]:
    """A blocklist that is kept up to date."""
    blocklist = Blocklist()
    settings = Settings(kafka_bootstrap_servers=kafka, database_url=database)
    following = BlocklistConsumer(settings, blocklist)
    following.start()
    try:
        await following.ready
        yield blocklist
    finally:
        await following.close()


async def turn_until(worker: Worker, so: Callable[[], bool]) -> None:
    """The worker works on until this is so."""
    due = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert await asyncio.to_thread(worker.run_once)
        assert time.monotonic() < due, "it never is"


def refuses(blocklist: Blocklist) -> bool:
    """Whether `ana` is refused without the log."""
    return blocklist.refused_until("ana", time.monotonic()) == FOREVER


def blocks_ana(owners: Owners, kafka: str, database: str) -> Worker:
    """An owner whose decisions block `ana` for good, at the offset 3."""
    owner = owners.new(database, first_policy=FOR_GOOD)
    owner.claim()
    work(owner, until=1)  # the policy
    put(kafka, *(encode(wrong("ana")) for _ in range(2)))
    work(owner, until=3)
    return owner


def save(database: str) -> None:
    """Back up what the workers write."""
    with psycopg.connect(database) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE saved_{table} AS TABLE {table}")


def restore(database: str) -> None:
    """Set the database back to what was saved."""
    with psycopg.connect(database) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} TABLE saved_{table}")


def test_the_brokers_clock_is_known_to_some_milliseconds(topics: str, database: str) -> None:
    """It is this host's, as the broker runs here; and a blocked user is refused."""

    async def scenario(owner: Worker) -> None:
        async with followed(topics, database) as blocklist:
            await turn_until(owner, lambda: refuses(blocklist))
            known: list[float] = []
            for _ in range(10):
                await asyncio.to_thread(owner.run_once)
                before, bounds = time.time(), blocklist.clock.bounds(time.monotonic())
                assert bounds is not None
                assert bounds.earliest_ms <= time.time() * 1000
                assert before * 1000 <= bounds.latest_ms
                known.append(bounds.latest_ms - bounds.earliest_ms)
            assert min(known) < 2_000

    with Owners(topics) as owners:
        asyncio.run(scenario(blocks_ana(owners, topics, database)))


def test_a_topic_that_has_clients_times_gets_the_brokers(topics: str, database: str) -> None:
    """Until then the time is not known, and nobody is refused without the log."""
    admin = AdminClient({"bootstrap.servers": topics})

    async def scenario(owner: Worker) -> None:
        async with followed(topics, database) as blocklist:
            loaded = time.monotonic()
            await turn_until(owner, lambda: blocklist.ends.read_up_to > loaded)
            await turn_until(owner, lambda: blocklist.fresh(PARTITION, time.monotonic()))
            assert len(blocklist) == 1
            assert blocklist.clock.bounds(time.monotonic()) is None
            assert not refuses(blocklist)
            create_topics(admin, 4, 1)
            await turn_until(owner, lambda: refuses(blocklist))

    # As earlier versions of Cerrojo made the topic.
    set_config(admin, BLOCKS, "message.timestamp.type", "CreateTime")
    with Owners(topics) as owners:
        asyncio.run(scenario(blocks_ana(owners, topics, database)))


def test_news_that_are_always_late_refuse_nobody(
    topics: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are always some that came soon, and always some that were not heard yet."""
    kept = 0
    held: deque[Message] = deque()

    def late(consumer: Consumer) -> list[Message]:
        held.extend(read_batch(consumer, seconds=0.05))
        return [held.popleft() for _ in range(len(held) - kept)]

    async def scenario(owner: Worker) -> None:
        nonlocal kept
        async with followed(topics, database) as blocklist:
            await turn_until(owner, lambda: refuses(blocklist))
            kept = 8  # heartbeats, half a second apart: far more than the two seconds
            await turn_until(owner, lambda: not refuses(blocklist))
            until = time.monotonic() + 5
            while time.monotonic() < until:
                await asyncio.to_thread(owner.run_once)
                assert not refuses(blocklist)
            await turn_until(owner, lambda: blocklist.fresh(PARTITION, time.monotonic()))
            kept = 0
            await turn_until(owner, lambda: refuses(blocklist))

    monkeypatch.setattr(consumer, "read_batch", late)
    with Owners(topics) as owners:
        asyncio.run(scenario(blocks_ana(owners, topics, database)))


def test_a_block_that_a_restore_has_undone_is_not_refused(topics: str, database: str) -> None:
    """The log begins behind it, so that nobody decides it again; the gateway runs on."""

    async def scenario(owners: Owners, owner: Worker) -> None:
        async with followed(topics, database) as blocklist:
            put(topics, *(encode(wrong("ana")) for _ in range(2)))
            await turn_until(owner, lambda: refuses(blocklist))
            put(topics, *(encode(wrong("dea")) for _ in range(2)))
            await asyncio.to_thread(work, owner, 5)
            owners.delete_before(5)
            restore(database)
            successor = owners.new(database, "successor")
            await asyncio.to_thread(successor.claim)
            assert successor.progress is not None
            assert successor.progress.position == (1, 5)
            await turn_until(successor, lambda: not len(blocklist))
            assert not blocklist.doubt
            await turn_until(successor, lambda: blocklist.fresh(PARTITION, time.monotonic()))
            put(topics, *(encode(wrong("ana")) for _ in range(2)))
            await turn_until(successor, lambda: refuses(blocklist))

    with Owners(topics) as owners:
        owner = owners.new(database, first_policy=FOR_GOOD)
        owner.claim()
        work(owner, until=1)
        save(database)
        asyncio.run(scenario(owners, owner))


def test_further_partitions_are_used_once_postgres_has_them(topics: str, database: str) -> None:
    """They are used whatever a heartbeat says, and without loading anything anew."""

    async def scenario(owner: Worker) -> None:
        assert owner.progress is not None
        said = encode(Heartbeat(PARTITION, owner.progress.epoch, owner.progress.position, 5))
        async with followed(topics, database) as blocklist:
            put(topics, said, partition=0, topic=BLOCKS)
            there = time.monotonic()
            await turn_until(
                owner,
                lambda: blocklist.ends.read_up_to > there and not blocklist.unconfirmed_partitions,
            )
            assert blocklist.partitions == 4
            with psycopg.connect(database) as connection:
                connection.execute("UPDATE topology SET partitions = 5")
            put(topics, said, partition=0, topic=BLOCKS)
            await turn_until(owner, lambda: blocklist.partitions == 5)
            assert not blocklist.doubt

    with Owners(topics) as owners:
        asyncio.run(scenario(blocks_ana(owners, topics, database)))


@pytest.mark.parametrize("records", [0, 40])
def test_a_topic_that_was_made_anew_is_followed(topics: str, database: str, records: int) -> None:
    """Whether or not it is longer than the former one by the time that it is looked at."""

    async def scenario(owners: Owners, owner: Worker) -> None:
        async with followed(topics, database) as blocklist:
            await turn_until(owner, lambda: refuses(blocklist))
            admin = AdminClient({"bootstrap.servers": topics})
            await asyncio.to_thread(remove_topics, admin, BLOCKS)
            await asyncio.to_thread(create_topics, admin, 4, 1)
            put(topics, *[b"no news"] * records, partition=0, topic=BLOCKS)
            successor = owners.new(database, "successor")
            await asyncio.to_thread(successor.claim)
            made = time.monotonic()
            await turn_until(successor, lambda: blocklist.ends.read_up_to > made)
            await turn_until(successor, lambda: refuses(blocklist))

    with Owners(topics) as owners:
        asyncio.run(scenario(owners, blocks_ana(owners, topics, database)))
