"""A worker's process that stops before each thing it does to the world.

It runs the real :class:`workers.partition.worker.Worker` in a greenlet. Steps that only it can see
(its producer's queue, its reader's position) happen at once; before all else it hands over to the
scheduler, which decides when it happens and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar, cast

import msgspec
import psycopg
from confluent_kafka import KafkaError, KafkaException
from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

from events.messages import (
    BlocksMessage,
    Claimed,
    Policy,
    SetLayout,
    SetPolicy,
    Verdict,
    decode_attempts,
    decode_blocks,
    decode_verdicts,
)
from events.topics import ATTEMPTS, BLOCKS, VERDICTS
from tests.simulation.copies import copy_of
from tests.simulation.replay import REACH
from tests.simulation.world import PARTITION, Life, World
from workers.decision.batch import AuditRow, Batch, Record
from workers.decision.policy import LockState
from workers.partition import deduplication, publisher, worker
from workers.partition.attempt_reader import LogMovedError
from workers.partition.deduplication import Seen
from workers.partition.publisher import Publisher, PublishError
from workers.partition.store import Progress
from workers.partition.worker import FencedError, Worker

T = TypeVar("T")

AWAY = (psycopg.OperationalError, KafkaException, PublishError, LogMovedError)
"""The errors after which a worker's process claims again, as workers.partition.clients.FAILURES."""

FIRST = Policy(version=1, threshold=2)
"""The policy in the settings of every simulated worker."""

WRITES = {"claim", "apply", "move", "enter_layout"}
"""The calls of which the client may not learn whether they happened."""


Message = BlocksMessage | SetPolicy | SetLayout | tuple[Verdict, ...]

TOPICS = (BLOCKS, VERDICTS, ATTEMPTS)

ANY = len(TOPICS)
"""Instead of a topic's number: whichever has the oldest message."""


class Producer:
    """Each message is queued until the scheduler lets it arrive: in order in each topic."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._owner: Owner = config["owner"]
        self._owner.producer = self
        self.queue: list[tuple[str, int, Message]] = []

    def produce(self, topic: str, value: bytes, partition: int, on_delivery: object) -> None:
        owner, message = self._owner, DECODE[topic](value)
        if isinstance(message, SetPolicy | SetLayout):
            owner.proposals += 1
            id_ = owner.proposals.to_bytes(8, "big")  # a random one could not be repeated
            message = msgspec.structs.replace(message, id=owner.name.encode().ljust(8) + id_)
        elif isinstance(message, tuple):
            for verdict in message:
                owner.world.check_verdict(verdict)
        self.queue.append((topic, partition, message))
        if isinstance(message, Claimed) and not owner.partial:
            self.arrive()

    def poll(self, seconds: float) -> int:
        return 0

    def flush(self, seconds: float) -> int:
        if self.queue:
            self._owner.call("wait" if seconds else "waited", self.acknowledge)
        return len(self.queue)

    @property
    def unsaid(self) -> int:
        """How many verdicts nobody has acknowledged."""
        return sum(len(said) for _, _, said in self.queue if isinstance(said, tuple))

    def acknowledge(self) -> bool:
        """All that is queued arrives."""
        while self.queue:
            self.arrive()
        return True

    def arrive(self, number: int = ANY) -> None:
        """The oldest message for this topic is there."""
        first = next(
            n for n, (t, _, _) in enumerate(self.queue) if number in (ANY, TOPICS.index(t))
        )
        _, partition, message = self.queue.pop(first)
        world = self._owner.world
        if isinstance(message, SetPolicy | SetLayout):
            world.append(message, partition)
        elif isinstance(message, tuple):
            world.publish_verdicts(message, partition)
        else:
            world.publish_blocks(message)


DECODE: dict[str, Callable[[bytes], Any]] = {
    BLOCKS: decode_blocks,
    VERDICTS: decode_verdicts,
    ATTEMPTS: decode_attempts,
}

PUBLISHER = copy_of(
    publisher,
    Producer=Producer,
    client_options=lambda owner: {"owner": owner},
    PublishError=PublishError,
)
"""The real publisher, over a simulated producer."""


class Time:
    """The module, for workers that keep the world's time."""

    perf_counter = time = staticmethod(lambda: 0.0)
    sleep = staticmethod(lambda _: None)
    seconds = 0.0

    @classmethod
    def monotonic(cls) -> float:
        """Seconds since the beginning of the world whose owner runs."""
        return cls.seconds


class Silence:
    """Takes what is logged."""

    def info(self, *_: object, **__: object) -> None:
        """Nothing."""

    warning = error = exception = info


def worker_module(
    *changes: tuple[str, str], heartbeat_seconds: float = 0.0, **names: object
) -> ModuleType:
    """The worker's module, with parts of its text replaced.

    It sends a heartbeat each time there can be one, if not told otherwise, knows ids again in a
    short reach, and logs nothing.
    """
    return copy_of(
        worker,
        *changes,
        HEARTBEAT_SECONDS=heartbeat_seconds,
        LAYOUT_POLL_SECONDS=0.0,
        RecentIds=DEDUPLICATION.RecentIds,
        FencedError=FencedError,
        logger=Silence(),
        **names,
    )


DEDUPLICATION = copy_of(deduplication, DEDUPLICATION_OFFSETS=REACH)

WORKER = worker_module()


class Store:
    """The database as one owner reaches it: a new connection serves nothing before a claim."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._world = owner.world
        self._at = owner.partition
        self.cut = False
        """Whether the connection of the last claim is gone."""

    def claim(self, owner: str) -> Progress:
        return self._owner.call("claim", lambda: self._claim(owner))

    def progress(self) -> Progress | None:
        return self._call("progress", lambda: self._world.read_progress(self._at))

    def move(self, progress: Progress, missing: int) -> bool:
        name, at = self._owner.name, self._at
        return self._call("move", lambda: self._world.move(name, progress, missing, at))

    def mark_isolated(self, progress: Progress) -> bool:
        # The mark is only for who counts deaths, and nobody does in here.
        stored = self._world.tables.parts[self._at].progress
        return stored is not None and stored.epoch == progress.epoch

    def mark_clean_shutdown(self, progress: Progress) -> None:
        raise NotImplementedError("simulated owners never finish orderly")

    def states(self, users: set[str]) -> dict[str, LockState]:
        return self._call("states", lambda: self._world.read_states(users))

    def apply(self, progress: Progress, batch: Batch) -> bool:
        name, at = self._owner.name, self._at
        return self._call("apply", lambda: self._world.apply(name, progress, batch, at))

    def enter_layout(self, progress: Progress, layout: int) -> bool:
        return self._call(
            "enter_layout", lambda: self._world.enter_layout(progress, layout, self._at)
        )

    def newest_policy(self) -> Policy | None:
        return self._world.newest_policy()

    def recent_requests(self, progress: Progress) -> list[Seen]:
        return self._call("recent_requests", lambda: self._world.read_requests(progress, self._at))

    def audit_rows(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return self._call(
            "audit_rows",
            lambda: self._world.read_decided(generation, from_offset, to_offset, self._at),
        )

    def append_time_ms(self, offset: int) -> int | None:
        return self._call("append_time_ms", lambda: self._world.read_appended_at(offset, self._at))

    def _claim(self, owner: str) -> Progress:
        self.cut = False
        return self._world.claim(owner, self._at)

    def _call(self, what: str, do: Callable[[], T]) -> T:
        def on_the_claims_connection() -> T:
            if self.cut:
                raise psycopg.OperationalError("the connection is a new one since the claim")
            return do()

        return self._owner.call(what, on_the_claims_connection)


class Reader:
    """The log as one owner reaches it. Its consumer hears of every change of the log."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._world = owner.world
        self.offset = 0
        self.changed = False

    @property
    def _life(self) -> Life:
        return self._world.lives[self._owner.partition]

    @property
    def due(self) -> bool:
        """Whether the next read brings anything but nothing."""
        return self.changed or self.offset != self._life.end

    @property
    def waiting(self) -> int:
        """How many records the next read could bring."""
        return self._life.end - self.offset

    def topic_id(self) -> str:
        return self._owner.call("topic_id", lambda: self._life.topic_id)

    def partition_count(self) -> int:
        return self._world.most

    def bounds(self) -> tuple[int, int]:
        return self._owner.call("bounds", lambda: (self._life.start, self._life.end))

    def seek(self, offset: int) -> None:
        self.offset = offset

    def read(self, limit: int) -> list[Record]:
        records = self._owner.call("read", lambda: self._read(limit))
        self.offset += len(records)
        return records

    def read_at(self, offset: int) -> Record:
        return self._owner.call("read_at", lambda: self._read_at(offset))

    def at_end(self, next_offset: int) -> bool:
        return self._life.end <= next_offset

    def forget_connection_lost(self) -> None:
        self.changed = False

    def take_connection_lost(self) -> bool:
        lost, self.changed = self.changed, False
        return lost

    def _read(self, limit: int) -> list[Record]:
        life = self._life
        if self.changed or not life.start <= self.offset <= life.end:
            raise LogMovedError("the log does not hold the offset")
        first = self.offset - life.start
        return list(life.records[first : first + min(limit, self._owner.take)])

    def _read_at(self, offset: int) -> Record:
        life = self._life
        if not life.start <= offset < life.end:
            raise LogMovedError("the log does not hold the offset")
        self.offset = offset
        return life.records[offset - life.start]


NewWorker = Callable[["Owner", Publisher], Worker]


def worker_of(module: ModuleType) -> NewWorker:
    """Makes the worker of this module."""

    def new_worker(owner: Owner, publisher: Publisher) -> Worker:
        made: Worker = module.Worker(
            *(owner.partition, owner.name, owner.reader, owner.store, publisher, FIRST),
            clock=lambda: 0.0,
        )
        return made

    return new_worker


real_worker = worker_of(WORKER)
"""The worker as it is."""

SELDOM = 1e9
"""Seconds between heartbeats: one after a claim, and one after a layout is in force."""

timed_worker = worker_of(worker_module(heartbeat_seconds=0.5, time=Time))
"""The worker with a heartbeat in half a second of the world's time."""

quiet_worker = worker_of(worker_module(heartbeat_seconds=SELDOM))
"""The worker with few heartbeats, for scenarios whose owners would take too many steps."""


class Owner:
    """A process with a worker. ``pending`` is what it is about to do; None: it has ended."""

    @staticmethod
    def prefixed(name: str) -> str:
        """Its topics are nobody else's."""
        return name

    def __init__(
        self,
        world: World,
        name: str,
        number: int,
        new_worker: NewWorker = real_worker,
        partial: bool = False,
        partition: int = PARTITION,
    ) -> None:
        self.partial = partial
        """Whether what is published may arrive one by one, and a claim later than it is made."""
        self.partition = partition
        self.world = world
        self.name = name
        self.number = number
        self.proposals = 0
        self.store = Store(self)
        self.reader = Reader(self)
        self.producer: Producer
        """That of the publisher."""
        self.publisher: Publisher = PUBLISHER.Publisher(self, partition)
        self.late: list[Producer] = []
        """Producers that are gone; their messages may arrive all the same."""
        self.take = REACH
        self.pending: str | None = "start"
        self.idle = False
        self.past = hash(name)
        """Two owners with the same past are in the same state."""
        self.failure: BaseException | None = None
        self.worker: Worker | None = None
        self._new_worker = new_worker
        self._scheduler = getcurrent()
        self._greenlet = greenlet(self._run)

    @property
    def parked(self) -> bool:
        """Whether it has seen that there is nothing to do, and there still is not."""
        if not self.idle or self.store.cut:
            return False
        if self.pending == "read":
            return not self.reader.due
        return self.pending == "progress" and self._waits_for_others()

    def _waits_for_others(self) -> bool:
        """Whether its partition waits for others to enter its layout."""
        owned, tables = self.worker, self.world.tables
        if owned is None or owned.progress is None or not owned.waits_for_layout:
            return False
        stored = tables.parts[self.partition].progress
        same = stored is not None and stored.epoch == owned.progress.epoch
        return same and tables.partitions < owned.progress.layout

    def call(self, what: str, do: Callable[[], T]) -> T:
        """Let the scheduler decide when and how this happens."""
        self.pending = what
        outcome = self._scheduler.switch()
        if outcome == "not yet":
            self._remember(what, outcome)
            return cast(T, False)
        if outcome == "lost before":
            self._remember(what, outcome)
            raise self._error(what)
        result = do()
        if outcome == "lost after":
            self._remember(what, outcome)
            raise self._error(what)
        self._remember(what, result)
        return result

    def step(self, outcome: str = "done") -> None:
        """Let the pending step happen; go on until there is another."""
        Time.seconds = self.world.now_ms / 1000
        self._greenlet.switch(outcome)
        if self.failure is not None:
            raise self.failure

    def crash(self) -> None:
        """End at once. The producer's messages may still arrive."""
        self._greenlet.throw(GreenletExit)
        self._drop_publisher()
        self.pending = None

    def _run(self, _: str) -> None:
        try:
            self._own()
        except FencedError:
            pass
        except GreenletExit:
            return
        except BaseException as error:  # for the scheduler, in its own greenlet
            self.failure = error
        self._drop_publisher()
        self.pending = None

    def _own(self) -> None:
        """As workers.partition does it."""
        while True:
            self.past = hash((self.name, self.proposals))  # a new worker remembers nothing
            owned = self.worker = self._new_worker(self, self.publisher)
            try:
                owned.claim()
                while owned.run_once():
                    pass
            except AWAY:
                pass
            self._drop_publisher()

    def _drop_publisher(self) -> None:
        producer = self.producer
        if not self.partial:
            # A verdict that nobody waited for counts as lost: the worst that can be.
            producer.queue = [message for message in producer.queue if message[0] != VERDICTS]
        if producer.queue:
            self.late.append(producer)
        self.publisher = PUBLISHER.Publisher(self, self.partition)

    def _remember(self, what: str, result: object) -> None:
        if what == "progress" and self._waits_for_others():
            self.idle = True
        if what not in ("waited", "progress"):  # a heartbeat's looks change nothing
            self.idle = what == "read" and result == []
        self.past = hash((self.past, what, _hashable(result)))

    def _error(self, what: str) -> Exception:
        if what in ("wait", "waited"):
            return PublishError("the brokers refused")
        if what in ("topic_id", "bounds", "read", "read_at"):
            return KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return psycopg.OperationalError("the connection is gone")


def _hashable(result: object) -> object:
    if isinstance(result, list):
        return tuple(result)
    if isinstance(result, dict):
        return tuple(result.items())
    return result
