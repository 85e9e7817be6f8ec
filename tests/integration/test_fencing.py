"""A worker without a right to a partition, or a way to its log, does not disturb its owner."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import KafkaException

from events.messages import Heartbeat, decode_blocks
from events.topics import BLOCKS
from local.postgres import OWNER
from sql.roles import WORKERS
from tests.harness.owner import FIRST, PARTITION, Owners, read_all, work
from tests.kafka import at
from tests.postgres import as_role
from workers.partition.attempt_reader import AttemptReader
from workers.partition.store import Store
from workers.partition.worker import FencedError, Worker

NOBODY = "127.0.0.1:1"


def test_a_zombie_with_nothing_to_decide_does_not_say_that_it_lives(topics: str, database: str):
    """It would find out at its next commit, and there may be none for hours."""
    with Owners(topics) as owners:
        zombie = owners.new(database, "zombie")
        zombie.claim()
        work(zombie, until=1)
        assert zombie.progress is not None
        successor = owners.new(database, "successor")
        successor.claim()
        zombie.flush()  # what it said of its life while it was the owner
        before = read_all(topics, BLOCKS, 0)
        zombie._heartbeat_at = 0.0  # it is time for one
        with pytest.raises(FencedError, match="another owner"):
            zombie.run_once()
        zombie.flush()
        since = map(decode_blocks, read_all(topics, BLOCKS, 0)[len(before) :])
        assert not [m for m in since if isinstance(m, Heartbeat)]


def test_who_comes_back_after_a_failure_sees_that_somebody_else_has_it(topics: str, database: str):
    """An own claim, whose answer it may not have heard, is no other owner's; nor an older one."""
    with Owners(topics) as owners:
        owner = owners.new(database, "owner")
        owner.claim()
        assert owner.progress is not None
        epoch = owner.progress.epoch
        owner.claim()
        assert not owner._store.taken("owner", epoch)
        successor = owners.new(database, "successor")
        successor.claim()
        assert owner._store.taken("owner", epoch)
        assert successor.progress is not None
        later = successor.progress.epoch  # of a database that has gone back since
        assert not owner._store.taken("owner", later)


def test_who_does_not_reach_the_log_takes_no_partition(topics: str, database: str):
    """A host that is cut off from Kafka would fence the owner again and again."""
    with Owners(topics) as owners:
        owner = owners.new(database, "owner")
        owner.claim()
        stranger = owners.new(database, "stranger")
        reader = AttemptReader(at(NOBODY), PARTITION)
        cut_off = Worker(PARTITION, "cut off", reader, stranger._store, stranger._publisher, FIRST)
        with pytest.raises(KafkaException):
            cut_off.claim()
        reader.close()
        work(owner, until=1)


def test_it_is_said_who_holds_a_partition_that_cannot_be_taken(database: str):
    """A worker may not end the session of another role, as after a change to roles of their own."""
    successor = Store(as_role(database, WORKERS), PARTITION)
    successor.open()
    successor.claim("successor")
    with psycopg.connect(database) as former:
        former.execute("UPDATE partition_progress SET owner = 'former'")
        pid = former.info.backend_pid
        said = rf"role {OWNER} \(its process: {pid}\) .* {WORKERS} .*Stop the workers' host"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=said):
            successor.claim("successor again")
    successor.close()
