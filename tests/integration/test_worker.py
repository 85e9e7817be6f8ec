"""The owner of a partition, step by step, on a real Kafka and a real Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import structlog
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from events.messages import (
    Attempt,
    Blocked,
    Decision,
    Policy,
    Unblock,
    Unblocked,
    encode,
    new_id,
)
from events.partitioner import partition_of
from events.topics import ATTEMPTS, create_topics
from tests.harness.owner import (
    PARTITION,
    PATIENCE_SECONDS,
    REPLIES,
    Owners,
    news,
    put,
    read_all,
    records_from,
    verdicts,
    work,
    wrong,
)
from tests.kafka import remove_topics
from workers.partition.worker import FencedError, Worker

NewWorker = Callable[..., Worker]


@pytest.fixture
def new_worker(topics: str, database: str) -> Iterator[NewWorker]:
    """Makes owners of the partition."""
    with Owners(topics) as owners:
        yield partial(owners.new, database)


def test_an_attempt_that_is_written_twice_counts_once(new_worker: NewWorker, topics: str):
    """In the same batch, in the next one, and for an owner that did not see the first one."""
    first, second = new_worker(), new_worker()
    first.claim()
    attempt = encode(wrong("ana"))
    put(topics, attempt, attempt)
    work(first, until=3)  # the first record is the policy
    put(topics, attempt)
    work(first, until=4)
    second.claim()
    put(topics, attempt, *(encode(wrong("ana")) for _ in range(4)))
    work(second, until=9)
    said = [verdict.decision for verdict in verdicts(topics)]
    # The last batch is said again by who takes over.
    repeated = [Decision.REPEATED] * 4
    assert said == [Decision.REJECTED, *repeated, *[Decision.REJECTED] * 4]
    [blocked] = news(topics)
    assert blocked.position == (1, 8)


def test_what_a_spare_missed_does_not_end_its_claim(new_worker: NewWorker, topics: str):
    """It asks anew whatever a lost connection may have changed; another claim takes its time."""
    worker = new_worker()
    worker._reader._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    worker.claim()
    assert worker.run_once()
    worker._reader._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert not worker.run_once()


def test_attempts_are_decided_in_log_order(new_worker: NewWorker, topics: str):
    """The fifth wrong one blocks, and the right one behind it is refused."""
    worker = new_worker()
    worker.claim()
    attempts = [wrong("ana") for _ in range(5)] + [Attempt(new_id(), REPLIES, "ana", True)]
    put(topics, *map(encode, attempts))
    work(worker, until=7)  # the first record is the policy
    said = verdicts(topics)
    assert [v.id for v in said] == [a.id for a in attempts]
    assert [v.decision for v in said] == [Decision.REJECTED] * 5 + [Decision.BLOCKED]
    assert said[4].until_ms == said[5].until_ms > 0
    [blocked] = news(topics)
    assert blocked == Blocked(PARTITION, (1, 5), "ana", said[4].until_ms)


def test_what_was_committed_and_not_published_is_said_by_the_next_owner(
    new_worker: NewWorker, topics: str
):
    """A worker that dies between its commit and its publishing loses no answer."""
    dying = new_worker("dying")
    dying.claim()
    work(dying, until=1)
    attempts = [wrong("ana") for _ in range(5)]
    put(topics, *map(encode, attempts))
    assert dying.commit(dying.decide(records_from(topics, 1)))
    assert verdicts(topics) == []
    new_worker("next").claim()
    assert [v.id for v in verdicts(topics)] == [a.id for a in attempts]
    assert [type(message) for message in news(topics)] == [Blocked]


def test_a_zombie_is_fenced_and_writes_nothing(new_worker: NewWorker, topics: str):
    """A former owner that wakes up decides nothing and says nothing."""
    zombie = new_worker("zombie")
    zombie.claim()
    work(zombie, until=1)
    put(topics, *(encode(wrong("ana")) for _ in range(5)))
    successor = new_worker("successor")
    successor.claim()
    work(successor, until=6)
    before = verdicts(topics), news(topics)
    with pytest.raises(FencedError, match="partition 2 has another owner"):
        work(zombie, until=6)
    assert (verdicts(topics), news(topics)) == before


def test_a_record_that_cannot_be_read_stops_nobody(new_worker: NewWorker, topics: str):
    """It is put aside; those before and behind it are decided."""
    worker = new_worker()
    worker.claim()
    put(topics, encode(wrong("ana")), b"junk", b"", encode(wrong("ana")))
    work(worker, until=5)
    assert len(verdicts(topics)) == 2


def test_lifting_a_block_is_news(new_worker: NewWorker, topics: str):
    """An operator's unblocking goes through the log, like what it undoes."""
    worker = new_worker()
    worker.claim()
    unblocks = [Unblock(new_id(), REPLIES, "ana") for _ in range(2)]
    put(topics, *(encode(wrong("ana")) for _ in range(5)), *map(encode, unblocks))
    work(worker, until=8)
    assert [v.decision for v in verdicts(topics)[5:]] == [Decision.ACCEPTED, Decision.REJECTED]
    assert news(topics)[1:] == [Unblocked(PARTITION, (1, 6), "ana")]


def test_the_first_policy_stands_in_the_log_and_outlives_its_settings(
    new_worker: NewWorker, topics: str
):
    """A host with other settings decides by what the log says."""
    first = new_worker("first", Policy(version=1, threshold=2))
    first.claim()
    work(first, until=1)
    second = new_worker("second", Policy(version=1, threshold=9))
    second.claim()
    put(topics, encode(wrong("ana")), encode(wrong("ana")), encode(wrong("ana")))
    work(second, until=4)
    assert [v.decision for v in verdicts(topics)][2] == Decision.BLOCKED
    assert len(read_all(topics, ATTEMPTS, PARTITION)) == 4


def test_a_topic_made_anew_starts_a_generation_and_skips_nothing(
    new_worker: NewWorker, topics: str
):
    """Counts and policy go on; the new log's first attempts count at offsets used before."""
    old = new_worker("old")
    old.claim()
    put(topics, *(encode(wrong("ana")) for _ in range(3)))
    work(old, until=4)
    admin = AdminClient({"bootstrap.servers": topics})
    remove_topics(admin, ATTEMPTS)
    create_topics(admin, 4, 1)
    again = [wrong("ana") for _ in range(3)]
    put(topics, *map(encode, again))
    new = new_worker("new")
    new.claim()
    assert new.progress is not None
    assert new.progress.position == (2, 0)
    work(new, until=3)
    decisions = {v.id: v.decision for v in verdicts(topics)}
    assert [decisions[attempt.id] for attempt in again] == [
        Decision.REJECTED,
        Decision.REJECTED,
        Decision.BLOCKED,
    ]


def test_what_waited_for_a_worker_is_not_taken_for_a_wrong_clock(
    new_worker: NewWorker, topics: str
):
    """Two hours without workers: the records meanwhile fit in one batch, and are just late."""

    def two_hours_later() -> float:
        return time.time() + 7200

    first = new_worker()
    first.claim()
    work(first, until=1)
    put(topics, *(encode(wrong("ana")) for _ in range(3)))
    late = new_worker(clock=two_hours_later)
    with structlog.testing.capture_logs() as said:
        late.claim()
        work(late, until=4)
    assert not [line for line in said if "clock" in line["event"]]
    with structlog.testing.capture_logs() as said:
        put(topics, encode(wrong("ana")))
        work(late, until=5)
    [alarm] = [line for line in said if "clock" in line["event"]]
    assert 7190 < alarm["seconds"] <= 7200


def test_a_record_from_the_future_is_the_clock_even_if_it_waited(
    new_worker: NewWorker, topics: str
):
    """This host's is behind, and it need not know how long the record was there."""
    put(topics, encode(wrong("ana")))
    behind = new_worker(clock=lambda: time.time() - 7200)
    with structlog.testing.capture_logs() as said:
        behind.claim()
        work(behind, until=1)
    assert -7201 < next(line["seconds"] for line in said if "clock" in line["event"]) < -7100


def test_librdkafka_agrees_on_the_partition_of_a_user(topics: str):
    """Its `consistent` partitioner is the one that the gateway computes itself."""
    producer = Producer({"bootstrap.servers": topics, "partitioner": "consistent"})
    landed = {}
    for user in ("ana", "añá", "b" * 64, "x.y@example.org"):
        producer.produce(
            ATTEMPTS,
            b"",
            key=user.encode(),
            on_delivery=lambda _, m, u=user: landed.update({u: m.partition()}),
        )
    assert producer.flush(PATIENCE_SECONDS) == 0
    assert landed == {user: partition_of(user, 4) for user in landed}
    assert len(landed) == 4
