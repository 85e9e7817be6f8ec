"""A worker's process that stops before each thing it does to the world.

It runs the real :class:`workers.worker.Worker` in a greenlet. What only it can see (its
producer's queue, its reader's position) happens at once; before all else it hands over to
the scheduler, which decides when it happens and how it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import psycopg
from confluent_kafka import KafkaError, KafkaException
from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

from events.messages import BlocksMessage, Policy, SetPolicy
from events.positions import Position
from tests.simulation.world import World, heartbeat, news_of, proposal
from workers.batch import AuditRow, Batch, Record
from workers.log import LogMovedError
from workers.policy import LockState
from workers.publisher import PublishError
from workers.store import Progress
from workers.worker import FencedError, Worker

T = TypeVar("T")

AWAY = (psycopg.OperationalError, KafkaException, PublishError, LogMovedError)
"""What a worker's process answers by claiming again, as workers.clients.FAILURES."""

FIRST = Policy(version=1, threshold=2)
"""What the settings of every simulated worker say."""

WRITES = {"claim", "apply", "move"}
"""The calls of which the client may not learn whether they happened."""


class Publisher:
    """A producer: what it was given is queued until the scheduler lets it arrive."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.queue: deque[BlocksMessage | SetPolicy] = deque()
        self.verdicts: list[tuple[bytes, str, int]] = []

    def publish(self, generation: int, decisions: Sequence[AuditRow]) -> None:
        self._owner.world.check_verdicts(decisions)
        self.verdicts += [(row.id, row.decision.name, row.until_ms) for row in decisions]
        self.queue.extend(news_of(generation, decisions))

    def heartbeat(self, epoch: int, position: Position, partitions: int) -> None:
        self.queue.append(heartbeat(epoch, position))

    def propose_policy(self, policy: Policy) -> None:
        self._owner.proposals += 1
        self.queue.append(proposal(policy, self._owner.number * 100 + self._owner.proposals))

    def propose_layout(self, layout: int) -> None:
        raise NotImplementedError("the simulated world has one partition")

    def wait(self, seconds: float) -> bool:
        if not self.queue and not self.verdicts:
            return True
        return self._owner.call("wait" if seconds else "waited", self.acknowledge)

    @property
    def unsaid(self) -> int:
        """How many verdicts nobody has acknowledged."""
        return len(self.verdicts)

    def acknowledge(self) -> bool:
        """All that is queued arrives."""
        self._owner.world.verdicts.update(self.verdicts)
        self.verdicts.clear()
        while self.queue:
            self.arrive()
        return True

    def arrive(self) -> None:
        """The oldest message of the queue is in its topic."""
        message = self.queue.popleft()
        if isinstance(message, SetPolicy):
            self._owner.world.append(message)
        else:
            self._owner.world.blocks.append(message)


class Store:
    """The database as one owner reaches it: a new connection serves nothing before a claim."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._world = owner.world
        self.cut = False
        """Whether the connection of the last claim is gone."""

    def claim(self, owner: str) -> Progress:
        return self._owner.call("claim", lambda: self._claim(owner))

    def progress(self) -> Progress | None:
        return self._call("progress", lambda: self._world.tables.progress)

    def move(self, progress: Progress, missing: int) -> bool:
        return self._call("move", lambda: self._world.move(self._owner.name, progress, missing))

    def mark_alone(self, progress: Progress) -> bool:
        # The mark is only for who counts deaths, and nobody does in here.
        stored = self._world.tables.progress
        return stored is not None and stored.epoch == progress.epoch

    def leave(self, progress: Progress) -> None:
        raise NotImplementedError("simulated owners never finish orderly")

    def states(self, users: set[str]) -> dict[str, LockState]:
        return self._call("states", lambda: self._world.read_states(users))

    def apply(self, progress: Progress, batch: Batch) -> bool:
        return self._call("apply", lambda: self._world.apply(self._owner.name, progress, batch))

    def enter_layout(self, progress: Progress, layout: int) -> bool:
        raise NotImplementedError("the simulated world has one partition")

    def newest_policy(self) -> Policy | None:
        return None

    def offsets_of_ids(self, progress: Progress, from_offset: int) -> dict[bytes, int]:
        return self._call(
            "offsets_of_ids",
            lambda: {
                row.id: row.offset
                for row in self._world.read_decided(
                    progress.generation, from_offset, progress.next_offset
                )
            },
        )

    def decided(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return self._call(
            "decided", lambda: self._world.read_decided(generation, from_offset, to_offset)
        )

    def appended_at(self, offset: int) -> int | None:
        return self._call("appended_at", lambda: self._world.read_appended_at(offset))

    def _claim(self, owner: str) -> Progress:
        self.cut = False
        return self._world.claim(owner)

    def _call(self, what: str, do: Callable[[], T]) -> T:
        def on_the_claims_connection() -> T:
            if self.cut:
                raise psycopg.OperationalError("the connection is a new one since the claim")
            return do()

        return self._owner.call(what, on_the_claims_connection)


class Log:
    """The log as one owner reaches it. Its consumer hears of every change of the log."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._world = owner.world
        self.offset = 0
        self.changed = False

    @property
    def due(self) -> bool:
        """Whether the next read brings anything but nothing."""
        return self.changed or self.offset != self._world.life.end

    @property
    def waiting(self) -> int:
        """How many records the next read could bring."""
        return self._world.life.end - self.offset

    def topic_id(self) -> str:
        return self._owner.call("topic_id", lambda: self._world.life.topic_id)

    def bounds(self) -> tuple[int, int]:
        return self._owner.call("bounds", lambda: (self._world.life.start, self._world.life.end))

    def seek(self, offset: int) -> None:
        self.offset = offset

    def read(self, limit: int) -> list[Record]:
        records = self._owner.call("read", lambda: self._read(limit))
        self.offset += len(records)
        return records

    def read_at(self, offset: int) -> Record:
        return self._owner.call("read_at", lambda: self._read_at(offset))

    def at_end(self, next_offset: int) -> bool:
        return self._world.life.end <= next_offset

    def forget_connection_lost(self) -> None:
        self.changed = False

    def take_connection_lost(self) -> bool:
        lost, self.changed = self.changed, False
        return lost

    def _read(self, limit: int) -> list[Record]:
        life = self._world.life
        if self.changed or not life.start <= self.offset <= life.end:
            raise LogMovedError("the log does not hold the offset")
        first = self.offset - life.start
        return list(life.records[first : first + min(limit, self._owner.take)])

    def _read_at(self, offset: int) -> Record:
        life = self._world.life
        if not life.start <= offset < life.end:
            raise LogMovedError("the log does not hold the offset")
        self.offset = offset
        return life.records[offset - life.start]


NewWorker = Callable[["Owner", Publisher], Worker]


def real_worker(owner: Owner, publisher: Publisher) -> Worker:
    """The worker as it is."""
    return Worker(0, owner.name, owner.log, owner.store, publisher, FIRST, clock=lambda: 0.0)


class Owner:
    """A process with a worker. ``pending`` is what it is about to do; None: it has ended."""

    def __init__(
        self, world: World, name: str, number: int, new_worker: NewWorker = real_worker
    ) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.proposals = 0
        self.store = Store(self)
        self.log = Log(self)
        self.publisher = Publisher(self)
        self.late: list[Publisher] = []
        """Producers that are gone; what they had sent may arrive all the same."""
        self.take = 500
        self.pending: str | None = "start"
        self.idle = False
        self.past = hash(name)
        """Two owners with the same past are in the same state."""
        self.failure: BaseException | None = None
        self._new_worker = new_worker
        self._scheduler = getcurrent()
        self._greenlet = greenlet(self._run)

    @property
    def parked(self) -> bool:
        """Whether it has seen that there is nothing to do, and there still is not."""
        return self.idle and self.pending == "read" and not (self.log.due or self.store.cut)

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
        """What is pending happens; go on until something else is."""
        self._greenlet.switch(outcome)
        if self.failure is not None:
            raise self.failure

    def crash(self) -> None:
        """End at once. What the producer had sent may still arrive."""
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
            worker = self._new_worker(self, self.publisher)
            try:
                worker.claim()
                while worker.run_once():
                    pass
            except AWAY:
                pass
            self._drop_publisher()

    def _drop_publisher(self) -> None:
        # A verdict that nobody waited for counts as lost: the worst that can be.
        self.publisher.verdicts.clear()
        if self.publisher.queue:
            self.late.append(self.publisher)
        self.publisher = Publisher(self)

    def _remember(self, what: str, result: object) -> None:
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
