"""The worker, broken on purpose: by a change of its text, or a change of what it works with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

from tests.simulation.conftest import Silence
from tests.simulation.owners import FIRST, NewWorker, Owner, Publisher, Store, real_worker
from tests.simulation.world import Tables, rows_of
from workers import worker
from workers.batch import AuditRow, Batch
from workers.store import Progress


def changed(*changes: tuple[str, str]) -> NewWorker:
    """The worker with these parts of its text replaced; each must be there."""
    source = inspect.getsource(worker).replace(
        "class FencedError(Exception):", "from workers.worker import FencedError\nclass Unused:"
    )
    for before, after in changes:
        assert before in source, f"the worker has changed; adapt this mutant: {before}"
        source = source.replace(before, after)
    module = ModuleType("broken_worker")
    module.__dict__["__name__"] = "workers.worker"
    exec(compile(source, "broken_worker", "exec"), module.__dict__)  # noqa: S102
    module.__dict__.update(HEARTBEAT_SECONDS=0.0, log=Silence())

    def new_worker(owner: Owner, publisher: Publisher) -> worker.Worker:
        made: worker.Worker = module.Worker(
            0, owner.name, owner.log, owner.store, publisher, FIRST, clock=lambda: 0.0
        )
        return made

    return new_worker


def with_store(make: Callable[[Owner], Store]) -> NewWorker:
    """The worker as it is, with a broken store."""

    def new_worker(owner: Owner, publisher: Publisher) -> worker.Worker:
        owner.store = make(owner)
        return real_worker(owner, publisher)

    return new_worker


class ForgetfulStore(Store):
    """Nothing is said again at a claim."""

    def decided(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return []


class LenientStore(Store):
    """A commit does not look at the epoch."""

    def apply(self, progress: Progress, batch: Batch) -> bool:
        def do() -> bool:
            stored = self._world.tables.progress
            assert stored is not None
            mine = progress._replace(epoch=stored.epoch)
            return self._world.apply(self._owner.name, mine, batch)

        return self._owner.call("apply", do)


class OneSnapshotStore(Store):
    """What is to be said again is read in the snapshot of the claim's statement.

    The statement has its snapshot, waits for the lock of a commit that is under way, and only
    then writes.
    """

    _snapshot: Tables

    def claim(self, owner: str) -> Progress:
        self._owner.call("snapshot", self._look)
        return super().claim(owner)

    def _look(self) -> int:
        self._snapshot = self._world.tables
        return self._world.key()

    def decided(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return rows_of(self._snapshot, generation, from_offset, to_offset)


class TwoStatementsStore(Store):
    """A claim looks in a second statement at what it got."""

    def claim(self, owner: str) -> Progress:
        super().claim(owner)
        progress = self.progress()
        assert progress is not None
        return progress


class TirelessStore(Store):
    """A new connection is taken for the old one."""

    @property
    def cut(self) -> bool:
        return False

    @cut.setter
    def cut(self, _: bool) -> None:
        """Nobody notices."""


MUTANTS: dict[str, NewWorker] = {
    "publishes before it commits": changed(
        (
            "        with metrics.COMMIT_SECONDS",
            "        self._publisher.publish(self.progress.generation, batch.audit)\n"
            "        with metrics.COMMIT_SECONDS",
        )
    ),
    "commits before the last verdicts are acknowledged": changed(
        ("is ever unsaid.\n            self._wait_for_publishing()", "is ever unsaid."),
    ),
    "moves before the last verdicts are acknowledged": changed(
        (
            "        self._wait_for_publishing()\n        self.progress = self._resume",
            "        self.progress = self._resume",
        )
    ),
    "says nothing again at a claim": with_store(ForgetfulStore),
    "commits without a look at the epoch": with_store(LenientStore),
    "claims in two statements": with_store(TwoStatementsStore),
    "says again what the claim's snapshot had": with_store(OneSnapshotStore),
    "does not notice a new connection": with_store(TirelessStore),
    "publishes what it could not commit": changed(("if not applied:", "if False:")),
    "claims again when it is fenced": changed(("stored.epoch > self.progress.epoch", "False")),
    "says that it has published what it has not": changed(
        (
            "next_offset=batch.to_offset, policy=batch.policy)\n",
            "next_offset=batch.to_offset, policy=batch.policy)\n"
            "        self._publisher.heartbeat(self.progress.epoch, self.progress.position, 0)\n",
        )
    ),
    "does not raise the generation": changed(
        (
            "        if found.alarm:",
            "        found = found._replace(progress=found.progress._replace("
            "generation=progress.generation))\n        if found.alarm:",
        )
    ),
    "does not look at the log when it claims": changed(
        ("self.progress = self._resume(progress, topic_id)", "self.progress = progress")
    ),
    "skips a record": changed(("decoded = decode(records)", "decoded = decode(records[-1:])")),
    "decides out of order": changed(
        ("decoded = decode(records)", "decoded = decode(records)[::-1]")
    ),
}
