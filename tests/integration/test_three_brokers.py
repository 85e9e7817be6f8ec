"""Three brokers of our own, and the death of one of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType

from cerrojo import check_kafka
from events.clients import client_options
from events.messages import encode
from events.topics import ATTEMPTS, BLOCKS, SOURCES, VERDICTS, create_topics, describe
from gateway.blocklist.end_watcher import EndWatcher
from local.servers import Servers
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.harness.owner import PARTITION, Owners, work, wrong
from tests.harness.waiting import wait_until
from tests.kafka import at
from workers.partition import publisher
from workers.supervisor.end_offsets import EndOffsets

PATIENCE_SECONDS = 60.0  # far beyond what an election takes


def test_one_broker_of_three_may_die(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is on all three; without the partition's leader, the same owner goes on deciding.

    So does its successor, which begins while the broker is away.
    """
    monkeypatch.setattr(publisher, "DELIVERY_MS", 60_000)  # an owner of these tests claims once
    with Servers(tmp_path, cache_dir, brokers=3) as servers:
        kafka = servers.kafka_bootstrap_servers
        admin = AdminClient(client_options(at(kafka)))
        create_topics(admin, 4, replication=3)
        for topic in (ATTEMPTS, VERDICTS, BLOCKS, SOURCES):
            assert {len(p.replicas) for p in describe(admin, topic).partitions} == {3}
            assert _enough(admin, topic) == "2"
        create_topics(admin, 1, replication=1, prefix="few.")
        present = admin.list_topics(timeout=PATIENCE_SECONDS)
        assert list(check_kafka.replicas(present, "")) == []
        (warned,) = check_kafka.replicas(present, "few.")
        assert "have few.attempts, few." in warned.sentence
        migrate(servers.database_url)
        with psycopg.connect(servers.database_url) as database:
            settle_partitions(database, 4)
        with Owners(kafka) as owners:
            owner = owners.new(servers.database_url)
            owner.claim()
            work(owner, until=1)  # the policy
            _put(kafka)
            work(owner, until=2)
            ends = EndOffsets(at(kafka))
            _wait_for_end(ends, 2)
            watched: list[int] = []
            watcher = EndWatcher(at(kafka), ATTEMPTS, PARTITION, lambda end, _: watched.append(end))
            watcher.start()
            leader = describe(admin, ATTEMPTS).partitions[PARTITION].leader.id
            holder = psutil.Process(servers.pids[f"kafka-{leader}"])
            holder.send_signal(signal.SIGSTOP)  # else it would start the broker again at once
            try:
                os.kill(holder.children()[0].pid, signal.SIGKILL)
                _put(kafka)
                work(owner, until=3)
                _wait_for_end(ends, 3)  # of the partition's new leader
                wait_until(lambda: watched[-1:] == [3])
                successor = owners.new(servers.database_url, "successor")
                successor.claim()
                _put(kafka)
                work(successor, until=4)
            finally:
                watcher.stop(PATIENCE_SECONDS)
                holder.send_signal(signal.SIGCONT)


def _wait_for_end(ends: EndOffsets, offset: int) -> None:
    """Return when a host that asks on and on knows that the partition ends here."""

    def known() -> bool:
        found = ends.ends()  # first: an answer counts until the next request
        ends.ask([PARTITION])
        return found == {PARTITION: offset}

    wait_until(known)


def _put(kafka: str) -> None:
    """Have an attempt acknowledged, however often that takes."""
    producer = Producer({**client_options(at(kafka)), "acks": "all", "enable.idempotence": True})
    producer.produce(ATTEMPTS, encode(wrong("ana")), partition=PARTITION)
    assert producer.flush(PATIENCE_SECONDS) == 0


def _enough(admin: AdminClient, topic: str) -> str | None:
    """How many replicas must be in sync, where the topic itself says it."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource]).values()
    entry = future.result()["min.insync.replicas"]
    its_own = entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return str(entry.value) if its_own else None
