"""In which order decisions are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from events.messages import (
    MOST_VERDICTS,
    Claimed,
    Decision,
    Heartbeat,
    Message,
    Policy,
    SetLayout,
    Unblocked,
    Verdict,
    Verdicts,
    decode_attempts,
    decode_blocks,
    decode_verdicts,
)
from events.positions import Position
from events.signatures import Opener
from events.signing_keys import KeyFile, make
from events.topics import BLOCKS
from settings import Settings
from workers.decision.batch import AuditRow
from workers.partition import publisher as module
from workers.partition.publisher import Publisher, PublishError
from workers.partition.store import Asked


class Producer:
    """Notes what is done with it; None stands for waiting for the brokers."""

    def __init__(self, _: object) -> None:
        self.done: list[Message | None] = []
        self.left = 0

    def produce(self, topic: str, value: bytes, **_: Any) -> None:
        said = decode_blocks(value) if topic == BLOCKS else Verdicts(decode_verdicts(value))
        self.done.append(said)

    def flush(self, _: float) -> int:
        self.done.append(None)
        return self.left

    def poll(self, _: float) -> None:
        """Nothing to hear."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """One that has claimed its partition."""
    monkeypatch.setattr(module, "Producer", Producer)
    made = Publisher(Settings(kafka_bootstrap_servers="nowhere"), 3)
    made.announce(7, Position(2, 10))
    return made


def done(publisher: Publisher) -> list[Message | None]:
    """The messages that it has told."""
    producer = publisher._producer
    assert isinstance(producer, Producer)
    return producer.done


def decided(change: int) -> AuditRow:
    """A decision that blocks, lifts a block, or neither."""
    until_ms = 99 if change > 0 else 0
    return AuditRow(
        *(5, 12, bytes(16), "attempt", "ana", None, Decision.ACCEPTED, until_ms, change, 1, 4)
    )


VERDICT = Verdict(bytes(16), "ana", Decision.ACCEPTED, 0)
SINGLE = Verdicts((VERDICT,))
CLAIMED = Claimed(3, 7, Position(2, 10))


def test_a_lifted_block_is_news_before_anybody_is_told(publisher: Publisher) -> None:
    """A client that was told may count on it everywhere, two seconds later."""
    publisher.publish(2, [decided(0), decided(-1)])
    lifted = Unblocked(3, Position(2, 12), "ana", 7)
    assert done(publisher) == [CLAIMED, lifted, None, SINGLE, SINGLE]


def test_other_decisions_wait_for_nothing(publisher: Publisher) -> None:
    """The brokers get all of it at once."""
    publisher.publish(2, [decided(1), decided(0)])
    assert None not in done(publisher)
    publisher.heartbeat(7, Position(2, 13), 4)
    assert done(publisher)[-1] == Heartbeat(3, 7, Position(2, 13), 4)


def test_without_the_news_nobody_is_told(publisher: Publisher) -> None:
    """The next owner says all of it again."""
    producer = publisher._producer
    assert isinstance(producer, Producer)
    producer.left = 1
    with pytest.raises(PublishError, match="lifted"):
        publisher.publish(2, [decided(-1)])
    assert not any(isinstance(message, Verdicts) for message in done(publisher))


def test_who_reads_lists_gets_the_verdicts_of_a_batch_together(publisher: Publisher) -> None:
    """In as few records as brokers take; who does not read them gets one after the other."""
    rows = [decided(0)._replace(reply_partition=n % 2) for n in range(2 * MOST_VERDICTS + 4)]
    publisher.publish(2, rows, lists={0})
    of_each = MOST_VERDICTS + 2
    assert done(publisher)[1:] == [
        *[SINGLE] * of_each,
        Verdicts((VERDICT,) * MOST_VERDICTS),
        Verdicts((VERDICT,) * 2),
    ]


def test_what_is_published_is_signed_and_news_are_numbered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gateway believes nothing else, and knows a copy by the number."""
    sent: list[tuple[str, int, bytes]] = []

    def produce(self: object, topic: str, value: bytes, partition: int, **_: Any) -> None:
        sent.append((topic, partition, value))

    monkeypatch.setattr(module, "Producer", Producer)
    monkeypatch.setattr(Producer, "produce", produce)
    make(tmp_path)
    keys = KeyFile(tmp_path, "workers")
    made = Publisher(Settings(kafka_bootstrap_servers="nowhere", topic_prefix="a."), 3, keys)
    made.announce(7, Position(2, 10))
    made.publish(2, [decided(-1)])
    made.heartbeat(7, Position(2, 12), 4)
    made.propose_policy(Policy())
    made.propose_layout(4, None)
    made.propose_layout(4, Asked(4, "cleo", "more hosts"))
    found = [
        (topic, *Opener(keys, topic).check(partition, None, value, 0)[1:])
        for topic, partition, value in sent
    ]
    assert found == [
        ("a.blocks", "worker", 1),
        ("a.blocks", "worker", 2),
        ("a.verdicts", "worker", 0),
        ("a.blocks", "worker", 3),
        *[("a.attempts", "policy", 0)] * 3,
    ]
    opener = Opener(keys, "a.attempts")
    layouts = [decode_attempts(opener.open(3, None, value, 0)) for _, _, value in sent[-2:]]
    said = [(each.operator, each.reason) for each in layouts if isinstance(each, SetLayout)]
    assert said == [(None, None), ("cleo", "more hosts")]
