"""Who has no right to a partition, or no way to its log, does not disturb its owner."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from events.messages import Heartbeat, decode_blocks
from events.topics import BLOCKS
from tests.integration.owner import FIRST, PARTITION, Owners, read_all, work
from workers.log import Log
from workers.worker import FencedError, Worker

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
        before = read_all(topics, BLOCKS, 0)
        zombie._heartbeat_at = 0.0  # it is time for one
        with pytest.raises(FencedError, match="another owner"):
            zombie.run_once()
        zombie.finish()
        since = map(decode_blocks, read_all(topics, BLOCKS, 0)[len(before) :])
        assert not [m for m in since if isinstance(m, Heartbeat)]


def test_who_does_not_reach_the_log_takes_no_partition(topics: str, database: str):
    """A host that is cut off from Kafka would fence the owner again and again."""
    with Owners(topics) as owners:
        owner = owners.new(database, "owner")
        owner.claim()
        stranger = owners.new(database, "stranger")
        log = Log(NOBODY, PARTITION)
        cut_off = Worker(PARTITION, "cut off", log, stranger._store, stranger._publisher, FIRST)
        with pytest.raises(KafkaException):
            cut_off.claim()
        log.close()
        work(owner, until=1)
