"""Simulated owners on a real Kafka and a real Postgres, step by step beside their models."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg
from confluent_kafka import Producer

from events.messages import encode
from events.positions import Position
from events.topics import ATTEMPTS
from tests.kafka import at
from tests.simulation.owners import FIRST, Owner
from tests.simulation.replay import Said
from tests.simulation.schedule import At, Choice, Scenario, Schedule
from workers.decision.batch import AuditRow, Batch, Record
from workers.decision.policy import LockState
from workers.partition.attempt_reader import AttemptReader
from workers.partition.deduplication import Seen
from workers.partition.publisher import Publisher
from workers.partition.store import Progress, Store
from workers.partition.worker import Worker

SECONDS = 60.0

SESSION = ("audit_rows", "recent_requests", "move", "states", "apply", "progress")
"""The calls that fail where the session of the claim has ended."""


class RealStore(Store):
    """The real store, each statement of which the scheduler decides on."""

    def __init__(self, database_url: str, partition: int, owner: RealOwner) -> None:
        super().__init__(database_url, partition)
        self.record_not_to_blame = True
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

    def audit_rows(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return self._owner.call(
            "audit_rows",
            lambda: super(RealStore, self).audit_rows(generation, from_offset, to_offset),
        )

    def recent_requests(self, progress: Progress) -> list[Seen]:
        return self._owner.call(
            "recent_requests", lambda: super(RealStore, self).recent_requests(progress)
        )

    def append_time_ms(self, offset: int) -> int | None:
        return self._owner.call(
            "append_time_ms", lambda: super(RealStore, self).append_time_ms(offset)
        )

    def end_session(self) -> None:
        """End the session, as a dead host or a dead switch between would: nothing is left."""
        if self._claimed_on is not None:
            with psycopg.connect(self._url, autocommit=True) as connection:
                pid = self._claimed_on.info.backend_pid
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


class RealReader(AttemptReader):
    """The real log; a read brings what it brought the model."""

    def __init__(self, kafka: str, partition: int, owner: RealOwner) -> None:
        super().__init__(at(kafka), partition, SECONDS)
        self._owner = owner

    def topic_id(self) -> str:
        return self._owner.call("topic_id", super().topic_id)

    def bounds(self) -> tuple[int, int]:
        return self._owner.call("bounds", super().bounds)

    def read(self, limit: int) -> list[Record]:
        return self._owner.call("read", lambda: self._read(self._owner.must_read))

    def read_at(self, offset: int) -> Record:
        return self._owner.call("read_at", lambda: super(RealReader, self).read_at(offset))

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
        super().__init__(at(kafka), partition)
        self._owner = owner
        self._queued = False

    def announce(self, epoch: int, position: Position) -> None:
        super().announce(epoch, position)
        self._acknowledged()

    def _produce(self, name: str, partition: int, value: bytes) -> None:
        self._queued = True
        super()._produce(name, partition, value)

    def _flush(self, seconds: float) -> bool:
        if not self._queued:
            return True
        return self._owner.call("wait" if seconds else "waited", self._acknowledged)

    def _acknowledged(self) -> bool:
        assert super()._flush(SECONDS), "the brokers acknowledge nothing"
        self._queued = False
        return True


class RealOwner(Owner):
    """Runs the worker with real clients, as far as the scheduler lets it."""

    def __init__(self, model: Owner, kafka: str, database_url: str, partition: int) -> None:
        super().__init__(model.world, model.name, model.number, self._make)
        self.must_read = 0
        self._kafka = kafka
        self._partition = partition
        self._real_reader = RealReader(kafka, partition, self)
        self._real_store = RealStore(database_url, partition, self)
        self._publishers: list[RealPublisher] = []

    def _make(self, _: Owner, __: Publisher) -> Worker:
        if self._publishers:
            self._publishers[-1].close()
        self._publishers.append(RealPublisher(self._kafka, self._partition, self))
        return Worker(
            self._partition,
            self.name,
            self._real_reader,
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
        """End at once; messages that were sent may arrive or not."""
        if self.pending is not None:
            self.crash()
        self._real_store.end_session()

    def close(self) -> None:
        """Let go of everything."""
        self.die()
        for publisher in self._publishers:
            publisher.close()
        self._real_reader.close()
        self._real_store.close()


def _in_the_first(records: Sequence[Said | At]) -> list[Said]:
    """These records, which are all for one partition."""
    return [record for record in records if not isinstance(record, At)]


class Pair:
    """A schedule of the model, and the same one on real servers."""

    def __init__(self, scenario: Scenario, kafka: str, database_url: str, partition: int) -> None:
        self.model = Schedule(scenario)
        self._kafka, self._url, self._partition = kafka, database_url, partition
        self._producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
        self._append(*_in_the_first(scenario.before))
        self._decide_before(len(scenario.before) + 1)  # and the first policy that it proposes
        self._append(*_in_the_first(scenario.said))
        self._real = [self._open(model) for model in self.model.owners]

    def do(self, choice: Choice) -> None:
        """The same on both sides."""
        if choice.what == "append":
            said = self.model.later[0]
            assert not isinstance(said, At)
            self._append(said)
        if choice.what in ("append", "arrive"):
            self.model.do(choice)  # a real producer's messages arrive when they like
            return
        model, real = self.model.owners[choice.owner], self._real[choice.owner]
        offset = model.reader.offset
        self.model.do(choice)
        real.must_read = model.reader.offset - offset
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
        if not self.model.living(0):
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
        store, reader = (
            Store(self._url, self._partition),
            AttemptReader(at(self._kafka), self._partition, SECONDS),
        )
        publisher = Publisher(at(self._kafka), self._partition)
        store.open()
        worker = Worker(self._partition, "Z", reader, store, publisher, FIRST)
        worker.claim()
        while worker.progress is None or worker.progress.next_offset < until:
            assert worker.run_once()
        worker.shut_down()
        publisher.close()
        reader.close()
        store.close()
