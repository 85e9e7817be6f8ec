"""The owner of one partition: claim it, then read, decide, commit, publish, again and again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from events.messages import Policy
from events.positions import Position
from workers import metrics
from workers.alone import DEATHS, is_killer, put_aside, suspects_end
from workers.batch import Batch, Record, decide, decode, users_of
from workers.clocks import Clocks
from workers.layout import LargerLayoutError, before_larger
from workers.parts import Keeping, LogReader, Publishing
from workers.repetition import REACH, Recent
from workers.resume import resume
from workers.store import Progress, UnstorableError

HEARTBEAT_SECONDS = 0.5
CLOCK_ALARM_SECONDS = 60.0
WAIT_SECONDS = 0.02
"""Between two looks whether a layout is in force."""

log = structlog.get_logger()


class FencedError(Exception):
    """The partition has another owner."""


class Worker:
    """One partition's owner. Every step is one method, so that a test can stop between any two.

    ``first_policy`` is what its settings say; it is only ever proposed to a log that has
    no policy yet, and decides nothing before it stands there. ``alive`` is called
    wherever the work goes on, ``computing`` before and after the computing of a record that
    is decided alone (see `workers.alone`).
    """

    def __init__(
        self,
        partition: int,
        owner: str,
        log_reader: LogReader,
        store: Keeping,
        publisher: Publishing,
        first_policy: Policy,
        batch_size: int = 500,
        alive: Callable[[], None] = lambda: None,
        computing: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.partition = partition
        self.progress: Progress | None = None
        self._owner = owner
        self._log = log_reader
        self._store = store
        self._publisher = publisher
        self._first_policy = first_policy
        self._batch_size = batch_size
        self._alive = alive
        self._computing = computing
        self._clock = clock
        self._published: Position | None = None
        self._recent = Recent({})
        self._clocks = Clocks(0, 0.0)
        self._alone_until = 0
        self._killer: Position | None = None
        self._heartbeat_at = 0.0
        self._labels = str(partition)

    def claim(self) -> None:
        """Own the partition: fence the former owner, say again what it may not have said."""
        self._log.forget_connection_lost()
        # Asked first: whoever is cut off from the log must not take it from those who are not.
        topic_id = self._log.topic_id()
        progress = self._store.claim(self._owner)
        self._publisher.publish(
            progress.generation,
            self._store.decided(progress.generation, progress.batch_offset, progress.next_offset),
        )
        self.progress, self._published = progress, None
        # Before anything moves: the next owner would not find them any more.
        self._wait_for_publishing()
        self.progress = self._resume(progress, topic_id)
        self._log.seek(self.progress.next_offset)
        self._recent = Recent(
            self._store.offsets_of_ids(self.progress, self.progress.next_offset - REACH)
        )
        if progress.policy is None:
            self._publisher.propose_policy(self._store.newest_policy() or self._first_policy)
        self._wait_for_publishing()
        self._suspect(progress)
        metrics.GENERATION.labels(self._labels).set(self.progress.generation)
        metrics.LAYOUT.labels(self._labels).set(self.progress.layout)
        log.info(
            "Partition is claimed",
            partition=self.partition,
            epoch=progress.epoch,
            next_offset=self.progress.next_offset,
        )

    def run_once(self) -> bool:
        """Decide what is there; False if the log or the database may have changed: claim again.

        Raises :class:`FencedError` where the partition has another owner.
        """
        assert self.progress is not None
        if self._log.take_connection_lost():
            return False
        if self.progress.layout > self.progress.used:
            return self._wait_for_the_layout()
        alone = self.progress.next_offset < self._alone_until
        began = self._clock()
        records = self._log.read(1 if alone else self._batch_size)
        if records and not self._process(records, alone):
            return False
        if self._log.at_end(self.progress.next_offset):
            self._clocks.ended(self.progress.next_offset, began)
        self._heartbeat()
        self._alive()
        return True

    def _process(self, records: Sequence[Record], alone: bool) -> bool:
        assert self.progress is not None
        started = time.perf_counter()
        try:
            batch = self._decide_alone(records[0]) if alone else self.decide(records)
            # The next owner can say one batch again, so no more than one is ever unsaid.
            self._wait_for_publishing()
            applied = self.commit(batch)
        except UnstorableError as error:
            if not alone:
                self._alone_until = records[-1].offset + 1
                self._log.seek(self.progress.next_offset)
                return True
            batch = put_aside(self.progress, records[0], str(error))
            applied = self.commit(batch)
        except LargerLayoutError as larger:
            self._log.seek(self.progress.next_offset)
            return self._enter(larger.layout)
        if applied:
            if batch.to_offset <= records[-1].offset:  # what is behind is of a larger layout
                self._log.seek(batch.to_offset)
            self._publisher.publish(self.progress.generation, batch.audit)
            metrics.BATCH_SECONDS.observe(time.perf_counter() - started)
            self._measure(batch)
        return applied

    def decide(
        self,
        records: Sequence[Record],
        computing: Callable[[bool], None] = lambda _: None,
    ) -> Batch:
        """What follows from these records, by the stored states of their users.

        Of those only that are before any of a larger layout; :class:`LargerLayoutError` if none is.
        """
        assert self.progress is not None
        computing(True)
        decoded = decode(records)
        computing(False)
        layout = self.progress.layout
        decidable = before_larger(decoded, layout)
        states = self._store.states(users_of(decidable))
        computing(True)
        batch = decide(
            *(self.progress.next_offset, decidable, states, self.progress.policy),
            layout,
            self._recent.has,
        )
        computing(False)  # not where an exception passes: it ends the process
        return batch

    def _decide_alone(self, record: Record) -> Batch:
        assert self.progress is not None
        if self._killer == self.progress.position:
            reason = f"the process died {DEATHS} times while it decided this record alone"
            return put_aside(self.progress, record, reason)
        # Before the mark, which is to stand no longer than this record takes.
        self._wait_for_publishing()
        self._store.mark_alone(self.progress)
        return self.decide([record], self._computing)

    def _enter(self, layout: int) -> bool:
        """Decide nothing of a smaller layout any more; False to claim again."""
        assert self.progress is not None
        self._wait_for_publishing()  # its place in the audit is another one afterwards
        if not self._store.enter_layout(self.progress, layout):
            self._check_epoch(self._store.progress())
            return False
        self.progress = self.progress._replace(layout=layout)
        metrics.LAYOUT.labels(self._labels).set(layout)
        log.info("The next records are of another layout", partition=self.partition, layout=layout)
        return True

    def _wait_for_the_layout(self) -> bool:
        """Look whether all partitions have entered this one's layout; False to claim again."""
        assert self.progress is not None
        stored = self._store.progress()
        self._check_epoch(stored)
        if stored is None or stored.epoch < self.progress.epoch:
            return False
        if stored.used >= self.progress.layout:
            self.progress = self.progress._replace(used=stored.used, generation=stored.generation)
            self._recent = Recent({})
            metrics.GENERATION.labels(self._labels).set(stored.generation)
            self._heartbeat_at = 0.0  # the gateways wait for it
        else:
            time.sleep(WAIT_SECONDS)
        self._heartbeat()
        self._alive()
        return True

    def _suspect(self, claimed: Progress) -> None:
        """Note which records to decide alone, as the claim found the partition."""
        assert self.progress is not None
        end = self._log.bounds()[1] if claimed.suspect else 0
        self._alone_until = suspects_end(self.progress, end, self._batch_size)
        self._killer = claimed.position if is_killer(claimed) else None
        if self._alone_until > self.progress.next_offset:
            log.warning(
                "The last owner did not finish orderly: what it was at is decided one by one",
                partition=self.partition,
                records=self._alone_until - self.progress.next_offset,
                deaths=claimed.alone_deaths,
            )

    def commit(self, batch: Batch) -> bool:
        """Commit a batch; False if the database is not where this owner left it."""
        assert self.progress is not None
        with metrics.COMMIT_SECONDS.time():
            applied = self._store.apply(self.progress, batch)
        if not applied:
            stored = self._store.progress()
            self._check_epoch(stored)
            log.error(
                "The database went back: its offset is not the one that was committed last",
                partition=self.partition,
                committed=self.progress.next_offset,
                stored=stored and stored.next_offset,
            )
            return False
        self.progress = self.progress._replace(next_offset=batch.to_offset, policy=batch.policy)
        self._recent.add((row.id, row.offset) for row in batch.audit)
        return True

    def _check_epoch(self, stored: Progress | None) -> None:
        assert self.progress is not None
        if stored is not None and stored.epoch > self.progress.epoch:
            raise FencedError(
                f"partition {self.partition} has another owner since epoch {stored.epoch}"
            )

    def finish(self) -> None:
        """Wait until what was committed is published."""
        self._wait_for_publishing()

    def leave(self) -> None:
        """Finish for good: the next owner need not ask what became of this one."""
        self.finish()
        assert self.progress is not None
        self._store.leave(self.progress)

    def _resume(self, progress: Progress, topic_id: str) -> Progress:
        began = self._clock()
        bounds = self._log.bounds()
        self._clocks = Clocks(bounds[1], began)
        found = resume(
            progress,
            topic_id,
            bounds,
            self._log.read_at,
            self._store.appended_at,
        )
        if found.alarm:
            log.error("Attention: " + found.alarm, partition=self.partition)
        if found.progress != progress and not self._store.move(found.progress, found.missing):
            raise FencedError(f"partition {self.partition} has another owner already")
        return found.progress

    def _wait_for_publishing(self) -> None:
        while not self._publisher.wait(0.2):
            self._alive()
        assert self.progress is not None
        self._published = self.progress.position

    def _heartbeat(self) -> None:
        """Every half second, if decisions can be had here; a lone batch counts once it is out.

        Raises :class:`FencedError`: who was frozen and has a successor must not say that he lives.
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
            self._publisher.propose_layout(stored.to_propose)
        if self._published is not None:
            self._publisher.heartbeat(self.progress.epoch, self._published, self.progress.used)

    def _measure(self, batch: Batch) -> None:
        metrics.BATCH_SIZE.observe(batch.to_offset - batch.from_offset)
        # Counted first, as a metric takes longer than the decision did.
        decided = Counter((row.kind, row.right, row.decision) for row in batch.audit)
        for (kind, right, decision), count in decided.items():
            if right is None:
                metrics.COMMANDS.labels(kind).inc(count)
            else:
                outcome = "right" if right else "wrong"
                metrics.ATTEMPTS.labels(outcome, decision.name.lower()).inc(count)
        metrics.BLOCKS.inc(sum(row.change > 0 for row in batch.audit))
        for record, reason in batch.undecodable:
            metrics.QUARANTINED.inc()
            log.error(
                "A record cannot be decided and is put into quarantine",
                partition=self.partition,
                offset=record.offset,
                reason=reason,
            )
        last = batch.last
        apart = self._clocks.difference(last.offset, last.appended_ms / 1000, self._clock())
        metrics.CLOCK_DIFFERENCE.labels(self._labels).set(apart)
        if abs(apart) > CLOCK_ALARM_SECONDS:
            log.error(
                "The brokers' clock and this host's differ by more than a minute",
                partition=self.partition,
                seconds=round(apart, 1),
            )
