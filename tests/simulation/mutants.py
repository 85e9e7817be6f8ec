"""Workers and gateways, broken on purpose: by a change of their text, or of what they work with."""

from __future__ import annotations

from collections.abc import Callable

from gateway.blocklist import consumer
from gateway.kafka import verdict_consumer, verdict_retry
from tests.simulation.gateways import Code, code
from tests.simulation.owners import (
    SELDOM,
    NewWorker,
    Owner,
    Store,
    real_worker,
    worker_module,
    worker_of,
)
from tests.simulation.world import Tables, rows_of
from workers.decision.batch import AuditRow, Batch
from workers.partition.publisher import Publisher
from workers.partition.store import Progress
from workers.partition.worker import Worker


def changed(*changes: tuple[str, str], heartbeat_seconds: float = 0.0) -> NewWorker:
    """The worker with these parts of its text replaced; each must be there."""
    return worker_of(worker_module(*changes, heartbeat_seconds=heartbeat_seconds))


def with_store(make: Callable[[Owner], Store]) -> NewWorker:
    """The worker as it is, with a broken store."""

    def new_worker(owner: Owner, publisher: Publisher) -> Worker:
        owner.store = make(owner)
        return real_worker(owner, publisher)

    return new_worker


class ForgetfulStore(Store):
    """Nothing is said again at a claim."""

    def audit_rows(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return []


class LenientStore(Store):
    """A commit does not look at the epoch."""

    def apply(self, progress: Progress, batch: Batch) -> bool:
        def do() -> bool:
            stored = self._world.read_progress(self._at)
            assert stored is not None
            mine = progress._replace(epoch=stored.epoch)
            return self._world.apply(self._owner.name, mine, batch, self._at)

        return self._owner.call("apply", do)


class OneSnapshotStore(Store):
    """The decisions to be published again are read in the snapshot of the claim's statement.

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

    def audit_rows(self, generation: int, from_offset: int, to_offset: int) -> list[AuditRow]:
        return rows_of(self._snapshot, generation, from_offset, to_offset, self._at)


class TwoStatementsStore(Store):
    """A claim looks in a second statement at what it got."""

    def claim(self, owner: str) -> Progress:
        super().claim(owner)
        progress = self.progress()
        assert progress is not None
        return progress


ANNOUNCES = "        self._publisher.announce(progress.epoch, progress.position)\n"

MUTANTS: dict[str, NewWorker] = {
    "publishes before it commits": changed(
        (
            "        with metrics.COMMIT_SECONDS",
            "        self._publisher.publish(self.progress.generation, batch.audit)\n"
            "        with metrics.COMMIT_SECONDS",
        )
    ),
    "commits before the last verdicts are acknowledged": changed(
        (
            "may be unacknowledged.\n            self._wait_for_publishing()",
            "may be unacknowledged.",
        ),
    ),
    "moves before what it has said is acknowledged": changed(
        (
            "        self._wait_for_publishing()\n        self.progress = self._resume",
            "        self.progress = self._resume",
        )
    ),
    "says nothing again at a claim": with_store(ForgetfulStore),
    "commits without a look at the epoch": with_store(LenientStore),
    "claims in two statements": with_store(TwoStatementsStore),
    "says again what the claim's snapshot had": with_store(OneSnapshotStore),
    "does not say that it has claimed": changed((ANNOUNCES, "")),
    "says where it goes on and not what it has claimed": changed(
        (ANNOUNCES, ""),
        (
            "        self._note_suspects(progress)\n",
            "        self._publisher.announce(progress.epoch, self.progress.position)\n"
            "        self._note_suspects(progress)\n",
        ),
    ),
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
    "skips a record": changed(("decode(records, self._open)", "decode(records[-1:], self._open)")),
    "enters a layout without waiting for what is unsaid": changed(
        (
            "        self._wait_for_publishing()  # afterwards no claim",
            "        # afterwards no claim",
        ),
        heartbeat_seconds=SELDOM,
    ),
    "looks repeated ids up in the last batch only": changed(
        (
            "        self._recent_ids.add(",
            "        self._recent_ids = RecentIds(self.progress.generation, 0)\n"
            "        self._recent_ids.add(",
        )
    ),
    "forgets the ids when it enters a layout": changed(
        (
            "            self._recent_ids.enter_generation()\n",
            "            self._recent_ids = RecentIds(stored.generation, 0)\n",
        )
    ),
    "deletes a name behind what is not published": changed(
        ("until_deletion(decidable_prefix(decoded, layout))", "decidable_prefix(decoded, layout)")
    ),
    "decides out of order": changed(
        ("decode(records, self._open)", "decode(records, self._open)[::-1]")
    ),
}


NOTES_THE_END = "            start = end_offset(consumer, self._topic, PARTITION)\n"
LOADS = "            self._load(start)\n"

RESTARTS = "            self._soon(self._blocklist.ends.restart, start, time.monotonic())\n"

BROKEN_GATEWAYS: dict[str, Code] = {
    "loads before it notes the end of the news": code(
        (
            consumer,
            NOTES_THE_END + LOADS,
            "            self._load(0)\n" + NOTES_THE_END + RESTARTS,
        )
    ),
    "is ready before it notes the end of the verdicts": code(
        (
            verdict_consumer,
            "        end = end_offset(consumer, topic, partition)\n",
            "        self._on_ready(partition)\n"
            "        end = end_offset(consumer, topic, partition)\n",
        )
    ),
    "believes an old view of the news": code(
        (
            consumer,
            NOTES_THE_END + LOADS,
            NOTES_THE_END + LOADS + NOTES_THE_END,
        )
    ),
    "writes each request twice": code(
        (
            verdict_retry,
            "                return verdict\n",
            "                return await self._verdict_client.ask(\n"
            "                    user,\n"
            "                    destination,\n"
            "                    seconds_until(due),\n"
            "                    lambda id_, reply, used: request(id_, reply, used, expires_ms),\n"
            "                )\n",
        )
    ),
}
