"""A turn of the supervisor."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from processes.events import Exited, Started
from tests.harness.waiting import PATIENCE_SECONDS, wait_until
from workers import metrics
from workers.supervisor import supervisor as module
from workers.supervisor.bounded_calls import BoundedCalls
from workers.supervisor.supervisor import Supervisor


class Standbys:
    """Notes what is asked of the standbys."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def look(self) -> None:
        """Hear who lives."""
        self.asked.append("look")

    def refill(self) -> None:
        """Start who is missing."""
        self.asked.append("refill")


class Relay:
    """Notes what is asked of the relay's keeper, in the same list."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def step(self) -> None:
        """Hear it."""
        self.asked.append("hear the relay")

    def start(self) -> None:
        """Start it if it is missing."""
        self.asked.append("start the relay")


@pytest.mark.parametrize(
    ("joined", "ready", "asked"),
    [
        (False, False, ["look", "hear the relay"]),
        (True, False, ["look", "hear the relay", "start the relay"]),
        (True, True, ["look", "hear the relay", "start the relay", "refill"]),
    ],
)
def test_standbys_and_the_relay_are_looked_after_whatever_the_workers_do(
    joined: bool, ready: bool, asked: list[str]
):
    """One partition in a crash loop must not give a frozen standby to the next that dies, nor keep
    the events of all others."""
    standbys = Standbys()
    nothing = SimpleNamespace(
        step=lambda _: None, poll=lambda _: None, complete=lambda: None, take_answer=lambda: False
    )
    supervisor = SimpleNamespace(
        manager=nothing,
        _consumer=nothing,
        _handover=nothing,
        _end_offsets=nothing,
        _standbys=standbys,
        _relay=Relay(standbys.asked),
        _commit_at=float("inf"),
        joined=joined,
        ready=ready,
    )
    Supervisor.step(cast(Any, supervisor))
    assert standbys.asked == asked


@pytest.mark.parametrize(("handed_over", "blamed"), [(set(), [2]), ({2}, [])])
def test_the_death_of_a_worker_that_is_handed_over_says_nothing(
    handed_over: set[int], blamed: list[int]
):
    """Its successor is another host's: an owner's death there is another one."""
    died: list[int] = []
    supervisor = SimpleNamespace(
        manager=SimpleNamespace(states={"worker partition 2": SimpleNamespace(pid=8)}),
        _handover=handed_over,
        _deaths=SimpleNamespace(died=died.append),
    )
    Supervisor._on_event(cast(Any, supervisor), Exited("worker partition 2", 7, -9, 1.0, False))
    assert died == blamed


class Consumer:
    """The group's member, to which some partitions are assigned."""

    def __init__(self, committed: dict[int, int], assigned: tuple[int, ...] = ()) -> None:
        self.offsets = committed
        self.assigned = assigned
        self.commits = 0
        self.away = False
        self.refused: set[int] = set()

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
        self.commits += 1
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        taken = [each for each in offsets if each.partition not in self.refused]
        self.offsets |= {each.partition: each.offset for each in taken}
        return [SimpleNamespace(partition=o.partition, error=o not in taken) for o in offsets]

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [
            TopicPartition(each.topic, each.partition, self.offsets.get(each.partition, -1001))
            for each in asked
        ]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("attempts", number) for number in self.assigned]


def member(consumer: Consumer, **state: Any) -> Any:
    """A supervisor that was not begun, with this state."""
    supervisor: Any = Supervisor.__new__(Supervisor)
    own = {"_consumer": consumer, "_topic": "attempts", "_confirmed": frozenset()}
    vars(supervisor).update({**own, "_calls": BoundedCalls(), **state})
    return supervisor


def test_fenced_workers_are_released_by_one_commit():
    """Each may take seconds, in which the host does nothing else. The group's offset of one whose
    worker has said nothing yet stays as it is."""
    released: list[str] = []
    consumer = Consumer({1: 7, 2: 30}, assigned=(0, 1, 2))
    supervisor = member(
        consumer,
        manager=SimpleNamespace(release=released.append),
        _fenced={1, 2, 3, 4},
        _offsets={1: 9, 3: 5},
    )
    consumer.away = True
    supervisor._release_fenced()
    assert (consumer.commits, released) == (1, [])
    consumer.away, consumer.refused = False, {2}
    supervisor._release_fenced()
    assert released == ["worker partition 1"]
    consumer.refused = set()
    supervisor._release_fenced()
    assert (consumer.commits, consumer.offsets) == (3, {1: 9, 2: 30, 3: 5, 4: 0})
    assert released == ["worker partition 1", "worker partition 2"]
    assert supervisor._fenced == {3, 4}


def test_kafka_that_never_answers_holds_up_no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka's commits wait for ever: no dead worker would be started again, and no stop heard.

    One that is answered late counts, and until then there is no other.
    """
    released: list[str] = []
    answer, began = threading.Event(), threading.Event()

    class Silent(Consumer):
        def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
            began.set()
            answer.wait()
            return super().commit(offsets, asynchronous)

    consumer = Silent({}, assigned=(1,))
    supervisor = member(
        consumer,
        manager=SimpleNamespace(release=released.append, stop=lambda: None, stopped=True),
        _fenced={1},
        _offsets={1: 9},
        _dirty=set(),
        _standbys=SimpleNamespace(close=lambda: None),
        _relay=SimpleNamespace(stop=lambda: None, stopped=True),
    )
    monkeypatch.setattr(module, "WORKER_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    supervisor._release_fenced()
    assert began.wait(PATIENCE_SECONDS)
    supervisor._release_fenced()
    supervisor.close(lambda: 1)
    assert (consumer.commits, released) == (0, [])
    answer.set()
    wait_until(lambda: bool(supervisor._confirmed))
    supervisor._release_fenced()
    assert released == ["worker partition 1"]


def test_offsets_that_were_not_committed_are_committed_again():
    """The usual tools would show a lag of a partition in which nothing more arrives."""
    consumer = Consumer({})
    supervisor = member(consumer, _dirty={1, 2}, _offsets={1: 9, 2: 5})
    consumer.away = True
    supervisor._commit_offsets()
    assert supervisor._dirty == {1, 2}
    supervisor._dirty.add(3)  # by an answer that came after its partition was given up
    consumer.away = False
    supervisor._commit_offsets()
    assert supervisor._dirty == set()
    sent = [TopicPartition("attempts", number) for number in (1, 2, 3)]
    supervisor._on_commit(None, sent)
    assert supervisor._dirty == set()
    supervisor._on_commit(KafkaError(KafkaError._TRANSPORT), sent)
    assert supervisor._dirty == {1, 2}  # the third one is another host's by now


def test_a_partition_that_comes_back_is_no_restart():
    """An alert counts those; each rebalance would be some."""
    counted = metrics.RESTARTS.labels("worker")._value.get
    before = counted()
    nothing = SimpleNamespace(
        add=lambda _: None,
        confirm=lambda: None,
        take_back=lambda _: False,
        incremental_assign=lambda _: None,
        pause=lambda _: None,
    )
    supervisor = member(
        Consumer({}), manager=nothing, _handover=nothing, _started=set(), _partitions=4
    )
    started = Started("worker partition 2", 7)
    for _ in range(2):
        supervisor._on_assign(nothing, [TopicPartition("attempts", 2)])
        supervisor._on_event(started)
    assert counted() == before
    supervisor._on_event(started)
    assert counted() == before + 1
