"""The owner of one partition: claims it, then reads, decides, commits and publishes in a loop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from events import signature_metrics
from events.messages import REFUSALS, Policy
from events.positions import Position
from events.signatures import Opener
from events.topics import ATTEMPTS
from workers import metrics
from workers.decision.batch import (
    Batch,
    Decoded,
    Record,
    decide,
    decode,
    refuse_misrouted,
    until_deletion,
    users_of,
)
from workers.partition.clocks import Clocks
from workers.partition.deduplication import RecentIds
from workers.partition.poison_records import (
    FATAL_DEATHS,
    isolation_end,
    kills_its_owner,
    quarantine_batch,
)
from workers.partition.ports import OpenerPort, PublisherPort, ReaderPort, StorePort
from workers.partition.repartitioning import LargerLayoutError, decidable_prefix, layout_of
from workers.partition.resume import resume
from workers.partition.state_cache import StateCache
from workers.partition.store import Progress, UnstorableError

HEARTBEAT_SECONDS = 0.5
CLOCK_ALARM_SECONDS = 60.0
LAYOUT_POLL_SECONDS = 0.02
"""Between two checks whether a layout is in force."""

UNCHECKED = Opener(None, ATTEMPTS)

logger = structlog.get_logger()


class FencedError(Exception):
    """The partition has another owner."""


class Worker:
    """One partition's owner. Every step is one method, so that a test can stop between any two.

    ``first_policy`` comes from the settings. It is proposed to a log that has no policy yet, and
    is in force only from its record on. ``alive`` is called wherever the work goes on,
    ``computing`` with True before and False after the computing of an isolated record (see
    `workers.partition.poison_records`). ``opener`` says which records may be believed. Methods
    raise the errors of the ports.
    """

    def __init__(
        self,
        partition: int,
        owner: str,
        reader: ReaderPort,
        store: StorePort,
        publisher: PublisherPort,
        first_policy: Policy,
        batch_size: int = 500,
        alive: Callable[[], None] = lambda: None,
        computing: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        opener: OpenerPort = UNCHECKED,
    ) -> None:
        self.partition = partition
        self.progress: Progress | None = None
        self._owner = owner
        self._reader = reader
        self._store = store
        self._publisher = publisher
        self._first_policy = first_policy
        self._batch_size = batch_size
        self._alive = alive
        self._computing = computing
        self._clock = clock
        self._opener = opener
        self._published: Position | None = None
        self._recent_ids = RecentIds(0, 0)
        self._states = StateCache()
        self._partitions = 0  # that the topic has had when it was last asked
        self._clocks = Clocks(0, 0.0)
        self._isolate_until = 0
        self._poison: Position | None = None
        self._heartbeat_at = 0.0
        self._labels = str(partition)

    @property
    def waits_for_layout(self) -> bool:
        """Whether other partitions have to enter this one's layout before it goes on."""
        return self.progress is not None and self.progress.layout > self.progress.used

    def claim(self) -> None:
        """Claim the partition: fence the former owner and publish its last batch again."""
        self._reader.forget_connection_lost()
        self._states.clear()
        # Asked first: a worker that cannot reach the log must not fence one that can.
        topic_id = self._reader.topic_id()
        progress = self._store.claim(self._owner)
        self._publisher.announce(progress.epoch, progress.position)
        rows = self._store.audit_rows(
            progress.generation, progress.batch_offset, progress.next_offset
        )
        # By now there may be a later owner, which has published these and decided on.
        rows = [row for row in rows if not row.lost_its_name]
        self._publisher.publish(progress.generation, rows)
        self.progress, self._published = progress, None
        # Before the partition is moved: the next owner would not find these rows any more, and
        # gateways would not learn where the database stood.
        self._wait_for_publishing()
        self.progress = self._resume(progress, topic_id)
        self._reader.seek(self.progress.next_offset)
        self._recent_ids = RecentIds(
            self.progress.generation,
            self.progress.latest_ms,
            self._store.recent_requests(self.progress),
        )
        if progress.policy is None:
            self._publisher.propose_policy(self._store.newest_policy() or self._first_policy)
        self._wait_for_publishing()
        self._note_suspects(progress)
        metrics.GENERATION.labels(self._labels).set(self.progress.generation)
        metrics.MISSING.labels(self._labels).set(self.progress.missing)
        metrics.LAYOUT.labels(self._labels).set(self.progress.layout)
        logger.info(
            "Partition is claimed",
            partition=self.partition,
            epoch=progress.epoch,
            next_offset=self.progress.next_offset,
        )

    def run_once(self) -> bool:
        """Read, decide, commit and publish one batch.

        False if the log or the database may have changed, so that a new claim is needed. Raises
        :class:`FencedError` where the partition has another owner.
        """
        assert self.progress is not None
        if self._reader.take_connection_lost():
            return False
        if self.waits_for_layout:
            return self._await_layout()
        isolated = self.progress.next_offset < self._isolate_until
        began = self._clock()
        records = self._reader.read(1 if isolated else self._batch_size)
        if records and not self._process(records, isolated):
            return False
        if self._reader.at_end(self.progress.next_offset):
            self._clocks.note_end(self.progress.next_offset, began)
        self.heartbeat()
        self._alive()
        return True

    def _process(self, records: Sequence[Record], isolated: bool) -> bool:
        assert self.progress is not None
        started = time.perf_counter()
        try:
            batch = self._decide_isolated(records[0]) if isolated else self.decide(records)
            # A new owner publishes one batch again, so at most one may be unacknowledged.
            self._wait_for_publishing()
            applied = self.commit(batch)
        except UnstorableError as error:
            if not isolated:
                self._isolate_until = records[-1].offset + 1
                self._reader.seek(self.progress.next_offset)
                return True
            batch = quarantine_batch(self.progress, records[0], str(error))
            applied = self.commit(batch)
        except LargerLayoutError as larger:
            self._reader.seek(self.progress.next_offset)
            return self._enter_layout(larger.layout)
        if applied:
            if batch.to_offset <= records[-1].offset:  # the rest is of another batch
                self._reader.seek(batch.to_offset)
            self._publisher.publish(self.progress.generation, batch.audit, batch.lists)
            metrics.BATCH_SECONDS.observe(time.perf_counter() - started)
            self._measure(batch)
        return applied

    def decide(
        self,
        records: Sequence[Record],
        computing: Callable[[bool], None] = lambda _: None,
    ) -> Batch:
        """Decide these records by the stored states of their users, as far as one batch goes.

        It ends before a record of a larger layout, and before a deletion. Raises
        :class:`LargerLayoutError` where already the first record is of a larger layout.
        """
        assert self.progress is not None
        computing(True)
        decoded = decode(records, self._open)
        computing(False)
        decoded = self._refuse_misrouted(decoded)
        layout = self.progress.layout
        decidable = until_deletion(decidable_prefix(decoded, layout))
        users = users_of(decidable)
        if missing := self._states.missing(users):
            self._states.add(missing, self._store.states(missing))
        states = self._states.of(users)
        computing(True)
        batch = decide(
            *(self.progress.next_offset, decidable, states, self.progress.policy),
            layout,
            self._recent_ids.is_repeated,
        )
        computing(False)  # not after an exception, which ends the process
        return batch

    def _open(self, record: Record) -> bytes | None:
        return self._opener.open(self.partition, record.key, record.value, record.appended_ms)

    def _refuse_misrouted(self, decoded: Sequence[Decoded]) -> list[Decoded]:
        assert self.progress is not None
        used = self.progress.used
        most = max((layout_of(message) for _, message in decoded), default=0)
        if most > max(self._partitions, used):  # the topic may have got more since
            self._partitions = self._reader.partition_count()
        # One broker may not have heard yet of partitions that are in use.
        partitions = max(self._partitions, used)
        return refuse_misrouted(decoded, self.partition, partitions, used)

    def _decide_isolated(self, record: Record) -> Batch:
        assert self.progress is not None
        if self._poison == self.progress.position:
            reason = f"the process died {FATAL_DEATHS} times while it decided this record alone"
            return quarantine_batch(self.progress, record, reason)
        # Before the mark, which is to last no longer than this record takes.
        self._wait_for_publishing()
        self._store.mark_isolated(self.progress)
        return self.decide([record], self._computing)

    def _enter_layout(self, layout: int) -> bool:
        """Enter a larger layout: no record of a smaller one is decided. False to claim again."""
        assert self.progress is not None
        self._wait_for_publishing()  # afterwards no claim would find these rows to publish again
        if not self._store.enter_layout(self.progress, layout):
            self._check_epoch(self._store.progress())
            return False
        self.progress = self.progress._replace(layout=layout)
        self._states.clear()  # accounts come whose states others have written
        metrics.LAYOUT.labels(self._labels).set(layout)
        logger.info(
            "Partition has entered a larger layout", partition=self.partition, layout=layout
        )
        return True

    def _await_layout(self) -> bool:
        """Check whether all partitions have entered this one's layout. False to claim again."""
        assert self.progress is not None
        stored = self._store.progress()
        self._check_epoch(stored)
        if stored is None or stored.epoch < self.progress.epoch:
            return False
        if stored.used >= self.progress.layout:
            self.progress = self.progress._replace(used=stored.used, generation=stored.generation)
            self._recent_ids.enter_generation()
            self._states.clear()
            metrics.GENERATION.labels(self._labels).set(stored.generation)
            self._heartbeat_at = 0.0  # the gateways wait for it
        else:
            time.sleep(LAYOUT_POLL_SECONDS)
        self.heartbeat()
        self._alive()
        return True

    def _note_suspects(self, claimed: Progress) -> None:
        """Set which records to decide in isolation, by the progress that the claim found."""
        assert self.progress is not None
        end = self._reader.bounds()[1] if claimed.suspect else 0
        self._isolate_until = isolation_end(self.progress, end, self._batch_size)
        self._poison = claimed.position if kills_its_owner(claimed) else None
        if self._isolate_until > self.progress.next_offset:
            logger.warning(
                "The last owner did not shut down cleanly: the records that it may have been "
                "deciding are decided one by one",
                partition=self.partition,
                records=self._isolate_until - self.progress.next_offset,
                deaths=claimed.deaths_in_isolation,
            )

    def commit(self, batch: Batch) -> bool:
        """Commit a batch; False if the stored offset is not the one this owner committed last.

        Raises :class:`FencedError` where the partition has another owner.
        """
        assert self.progress is not None
        with metrics.COMMIT_SECONDS.time():
            applied = self._store.apply(self.progress, batch)
        if not applied:
            stored = self._store.progress()
            self._check_epoch(stored)
            logger.error(
                "The database went back: its offset is not the last committed one",
                partition=self.partition,
                committed=self.progress.next_offset,
                stored=stored and stored.next_offset,
            )
            return False
        self.progress = self.progress._replace(next_offset=batch.to_offset, policy=batch.policy)
        self._recent_ids.add(batch.audit)
        self._states.commit(batch.states)
        return True

    def _check_epoch(self, stored: Progress | None) -> None:
        assert self.progress is not None
        if stored is not None and stored.epoch > self.progress.epoch:
            raise FencedError(
                f"partition {self.partition} has another owner since epoch {stored.epoch}"
            )

    def flush(self) -> None:
        """Wait until everything committed is published."""
        self._wait_for_publishing()

    def shut_down(self) -> None:
        """Flush and note the clean shutdown, so that the next owner suspects no record."""
        self.flush()
        assert self.progress is not None
        self._store.mark_clean_shutdown(self.progress)

    def _resume(self, progress: Progress, topic_id: str) -> Progress:
        began = self._clock()
        bounds = self._reader.bounds()
        self._clocks = Clocks(bounds[1], began)
        found = resume(
            progress,
            topic_id,
            bounds,
            self._reader.read_at,
            self._store.append_time_ms,
            self._alive,
        )
        if found.alarm:
            logger.error(found.alarm, partition=self.partition)
        if found.progress != progress and not self._store.move(found.progress, found.missing):
            raise FencedError(f"partition {self.partition} has another owner already")
        return found.progress

    def _wait_for_publishing(self) -> None:
        while not self._publisher.wait(0.2):
            self._alive()
        assert self.progress is not None
        self._published = self.progress.position

    def heartbeat(self) -> None:
        """Publish a heartbeat every half second, once there is a policy to decide by.

        Raises :class:`FencedError` where the partition has another owner: a worker that was frozen
        and has a successor must not publish that it lives.
        """
        assert self.progress is not None
        if self.progress.policy is None or time.monotonic() < self._heartbeat_at:
            return
        self._heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        if self._publisher.wait(0):
            self._published = self.progress.position
        stored = self._store.progress()
        self._check_epoch(stored)
        if stored is not None and stored.to_propose > self.progress.layout:
            asked = stored.asked
            by = asked if asked and asked.partitions == stored.to_propose else None
            self._publisher.propose_layout(stored.to_propose, by)
        if self._published is not None:
            self._publisher.heartbeat(self.progress.epoch, self._published, self.progress.used)

    def _measure(self, batch: Batch) -> None:
        metrics.BATCH_SIZE.observe(batch.to_offset - batch.from_offset)
        # Grouped first, since incrementing a metric takes longer than a decision.
        decided = Counter((row.kind, row.right, row.decision) for row in batch.audit)
        for (kind, right, decision), count in decided.items():
            if right is None:
                metrics.COMMANDS.labels(kind).inc(count)
            else:
                outcome = "right" if right else "wrong"
                metrics.ATTEMPTS.labels(outcome, decision.name.lower()).inc(count)
        metrics.BLOCKS.inc(sum(row.change > 0 for row in batch.audit))
        for record, reason, why in batch.undecodable:
            metrics.QUARANTINED.inc()
            if why in REFUSALS:
                signature_metrics.REFUSED.labels(ATTEMPTS, why).inc()
            logger.error(
                "A record could not be decided and was put into quarantine",
                partition=self.partition,
                offset=record.offset,
                reason=reason,
            )
        last = batch.last
        ahead = self._clocks.difference(last.offset, last.appended_ms / 1000, self._clock())
        metrics.CLOCK_DIFFERENCE.labels(self._labels).set(ahead)
        if abs(ahead) > CLOCK_ALARM_SECONDS:
            logger.error(
                "The brokers' clock and this host's differ by more than a minute",
                partition=self.partition,
                seconds=round(ahead, 1),
            )
