"""Simulated owners on a real Kafka and a real Postgres, step by step beside their models."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg
from confluent_kafka import Producer

from events.messages import Policy, encode
from events.positions import Position
from events.topics import ATTEMPTS
from tests.simulation.owners import FIRST, Owner
from tests.simulation.owners import Publisher as NoPublisher
from tests.simulation.replay import Said
from tests.simulation.schedule import Choice, Scenario, Schedule
from workers.batch import AuditRow, Batch, Record
from workers.log import Log
from workers.policy import LockState
from workers.publisher import Publisher
from workers.store import Progress, Store
from workers.worker import Worker

SECONDS = 10.0

SESSION = ("decided", "offsets_of_ids", "move", "states", "apply", "progress")
"""What fails where the session of the claim has ended."""


class RealStore(Store):
    """The real store, each statement of which the scheduler decides on."""

    def __init__(self, database_url: str, partition: int, owner: RealOwner) -> None:
        super().__init__(database_url, partition)
        self.excused = True
        self._owner = owner
        self._url = database_url
        self.open()

    def claim(self, owner: str) -> Progress:
        return self._owner.call("claim", lambda: super(RealStore, self).claim(owner))

    def progress(self) -> Progress | None:
        return self._owner.call("progress", super().progress)

    def move(self, progress: Progress, missing: int) -> bool:
        return self._owner.call("move", lambda: super(RealStore, self).move(progress, missing))

    def states(self, users: Sequence[str] | set[str]) -> dict[str, LockState]:  # type: ignore[override]
        return self._owner.call("states", lambda: super(RealStore, self).states(users))

    def apply(self, progress: Progress, batch: Batch) -> bool:
        return self._owner.call("apply", lambda: super(RealStore, self).apply(progress, batch))

    def decided(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return self._owner.call(
            "decided",
            lambda: super(RealStore, self).decided(generation, from_offset, to_offset),
        )

    def offsets_of_ids(self, progress: Progress, from_offset: int) -> dict[bytes, int]:
        return self._owner.call(
            "offsets_of_ids",
            lambda: super(RealStore, self).offsets_of_ids(progress, from_offset),
        )

    def appended_at(self, offset: int) -> int | None:
        return self._owner.call("appended_at", lambda: super(RealStore, self).appended_at(offset))

    def end_session(self) -> None:
        """What a dead host or a switch between leaves of it: nothing."""
        if self._claimed_on is not None:
            with psycopg.connect(self._url, autocommit=True) as connection:
                pid = self._claimed_on.info.backend_pid
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


class RealLog(Log):
    """The real log; a read brings what it brought the model."""

    def __init__(self, kafka: str, partition: int, owner: RealOwner) -> None:
        super().__init__(kafka, partition)
        self._owner = owner

    def topic_id(self) -> str:
        return self._owner.call("topic_id", super().topic_id)

    def bounds(self) -> tuple[int, int]:
        return self._owner.call("bounds", super().bounds)

    def read(self, limit: int) -> list[Record]:
        return self._owner.call("read", lambda: self._read(self._owner.must_read))

    def read_at(self, offset: int) -> Record:
        return self._owner.call("read_at", lambda: super(RealLog, self).read_at(offset))

    def _read(self, count: int) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + SECONDS
        while len(records) < count and time.monotonic() < deadline:
            records += super().read(count - len(records))
        assert len(records) == count, "the real log holds less than its model"
        return records


class RealPublisher(Publisher):
    """The real producer; a wait is for the brokers' acknowledgement."""

    def __init__(self, kafka: str, partition: int, owner: RealOwner) -> None:
        super().__init__(kafka, partition)
        self._owner = owner
        self._queued = False

    def publish(self, generation: int, decisions: Sequence[AuditRow]) -> None:
        self._queued = self._queued or bool(decisions)
        super().publish(generation, decisions)

    def heartbeat(self, epoch: int, position: Position, partitions: int) -> None:
        self._queued = True
        super().heartbeat(epoch, position, partitions)

    def propose_policy(self, policy: Policy) -> None:
        self._queued = True
        super().propose_policy(policy)

    def wait(self, seconds: float) -> bool:
        if not self._queued:
            return True
        return self._owner.call("wait" if seconds else "waited", self._acknowledged)

    def _acknowledged(self) -> bool:
        assert super().wait(SECONDS), "the brokers acknowledge nothing"
        self._queued = False
        return True


class RealOwner(Owner):
    """Runs the worker with real clients, as far as the scheduler lets it."""

    def __init__(self, model: Owner, kafka: str, database_url: str, partition: int) -> None:
        super().__init__(model.world, model.name, model.number, self._make)
        self.must_read = 0
        self._kafka = kafka
        self._partition = partition
        self._real_log = RealLog(kafka, partition, self)
        self._real_store = RealStore(database_url, partition, self)
        self._publishers: list[RealPublisher] = []

    def _make(self, _: Owner, __: NoPublisher) -> Worker:
        if self._publishers:
            self._publishers[-1].close()
        self._publishers.append(RealPublisher(self._kafka, self._partition, self))
        return Worker(
            self._partition,
            self.name,
            self._real_log,
            self._real_store,
            self._publishers[-1],
            FIRST,
        )

    def lose(self, how: str) -> None:
        """The pending call fails; the database's by an end of its session."""
        if how == "lost before" and self.pending in SESSION:
            self._real_store.end_session()
            self.step()
        else:
            self.step(how)

    def die(self) -> None:
        """End at once; what was sent may arrive or not."""
        if self.pending is not None:
            self.crash()
        self._real_store.end_session()

    def close(self) -> None:
        """Let go of everything."""
        self.die()
        for publisher in self._publishers:
            publisher.close()
        self._real_log.close()
        self._real_store.close()


class Pair:
    """A schedule of the model, and the same one on real servers."""

    def __init__(self, scenario: Scenario, kafka: str, database_url: str, partition: int) -> None:
        self.model = Schedule(scenario)
        self._kafka, self._url, self._partition = kafka, database_url, partition
        self._producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
        self._append(*scenario.before)
        self._decide_before(len(scenario.before) + 1)  # and the first policy that it proposes
        self._append(*scenario.said)
        self._real = [self._open(model) for model in self.model.owners]

    def do(self, choice: Choice) -> None:
        """The same on both sides."""
        if choice.what == "append":
            self._append(self.model.later[0])
        if choice.what in ("append", "arrive"):
            self.model.do(choice)  # a real producer's messages arrive when they like
            return
        model, real = self.model.owners[choice.owner], self._real[choice.owner]
        offset = model.log.offset
        self.model.do(choice)
        real.must_read = model.log.offset - offset
        if choice.what == "step":
            real.step()
        elif choice.what == "crash":
            real.die()
        else:
            real.lose(choice.what)
        assert real.pending == model.pending, f"after {choice}"

    def settle(self, last: Said) -> None:
        """Nothing goes wrong any more; somebody decides all, and this at the end."""
        while self.model.later:
            self.do(Choice("append"))
        self._run_all()
        self._append(last)
        self.model.world.append(last)
        self._run_all()
        if not self.model.alive:
            self.model.add_owner()
            self._real.append(self._open(self.model.owners[-1]))
            self._run_all()

    def close(self) -> None:
        """Let go of everything."""
        self.model.close()
        for real in self._real:
            real.close()

    def _run_all(self) -> None:
        while busy := self.model.busy():
            for n in busy:
                self.do(Choice("step", n))

    def _open(self, model: Owner) -> RealOwner:
        return RealOwner(model, self._kafka, self._url, self._partition)

    def _append(self, *records: Said) -> None:
        for said in records:
            value = b"junk" if said is None else encode(said)
            self._producer.produce(ATTEMPTS, value, partition=self._partition)
        assert self._producer.flush(SECONDS) == 0

    def _decide_before(self, until: int) -> None:
        store, log = Store(self._url, self._partition), Log(self._kafka, self._partition)
        publisher = Publisher(self._kafka, self._partition)
        store.open()
        worker = Worker(self._partition, "Z", log, store, publisher, FIRST)
        worker.claim()
        while worker.progress is None or worker.progress.next_offset < until:
            assert worker.run_once()
        worker.leave()
        publisher.close()
        log.close()
        store.close()
