"""Records that kill the process that decides them: how they are found and quarantined.

**Suspects.** An owner that shuts down cleanly notes that in `partition_progress` (``left_well``).
If a claim does not find the note, the new owner decides in isolation, one by one, the records that
the dead owner may have been deciding: those in the log from the stored offset on, up to one batch.
If the dead owner had read more, the next death finds those.

**Marks.** Before an isolated record is decoded, the row in `partition_progress` gets its position
(`mark_isolated`, in SQL `mark_alone`). The mark counts as long as the stored offset is that
record's, so the commit of its decision ends it, and there is nothing to clear. A worker also tells
its supervisor, over the pipe, when it begins to compute (decode, decide) and when it is done.

**Deaths that count.** A death counts if the next claim finds the mark, unless the supervisor saw
the death and says (flag ``excused``) that the process was not computing. Nothing else separates a
death by a record from other deaths: a `kill -9` looks like a kill for want of memory, and a process
that is killed for its silence may have waited for a frozen database or have been in an endless
loop. So with a living supervisor a foreign kill is mistaken only if it falls into the computing of
the same record, some 50 microseconds, in each of three lives in a row, each of which begins with
that record and commits it some milliseconds later. If no supervisor saw it, because the host died
with its supervisor, the mark alone counts: three hosts in a row would have to die by chance in
those same milliseconds, with seconds in between.

**Quarantine.** After :data:`FATAL_DEATHS` such deaths the next owner does not decode the record: it
goes to the quarantine with its bytes, and the partition goes on. Its sender gets no verdict.

A record that kills its owner after it is decided (while it is published) causes a crash loop and
is not blamed. A record with values that Postgres refuses kills no process: once isolated, it is
quarantined at once.

In ordinary operation this costs nothing: the flag is part of the claim.
"""

from __future__ import annotations

from workers.decision.batch import Batch, Record, Undecodable
from workers.partition.store import Progress

FATAL_DEATHS = 3


def isolation_end(progress: Progress, log_end: int, batch_size: int) -> int:
    """The offset before which records are to be decided in isolation."""
    if not progress.suspect:
        return progress.next_offset
    return min(progress.next_offset + batch_size, log_end)


def kills_its_owner(progress: Progress) -> bool:
    """Whether the next record has killed :data:`FATAL_DEATHS` owners."""
    return progress.deaths_in_isolation >= FATAL_DEATHS


def quarantine_batch(progress: Progress, record: Record, reason: str) -> Batch:
    """The batch that quarantines this record instead of deciding it."""
    batch = Batch(progress.next_offset, record.offset + 1, record, progress.policy)
    batch.undecodable.append(Undecodable(record, reason))
    return batch


class Deaths:
    """The deaths of a supervisor's workers, as far as their successors must know of them."""

    def __init__(self) -> None:
        self._computing: set[int] = set()
        self._not_to_blame: set[int] = set()

    def computing(self, partition: int, begins: bool) -> None:
        """The partition's worker begins to compute an isolated record, or is done with it."""
        (self._computing.add if begins else self._computing.discard)(partition)

    def died(self, partition: int) -> None:
        """The process of the partition's worker has ended, in whatever way."""
        if partition in self._computing:
            self._not_to_blame.discard(partition)
        else:
            self._not_to_blame.add(partition)
        self._computing.discard(partition)

    def record_not_to_blame(self, partition: int) -> bool:
        """Whether this supervisor saw the last worker die, and no record killed it."""
        return partition in self._not_to_blame

    def forget(self, partition: int) -> None:
        """The partition belongs to another host, whose worker may die out of sight."""
        self._computing.discard(partition)
        self._not_to_blame.discard(partition)
