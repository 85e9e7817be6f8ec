"""Records that kill the process that decides them: how they are found, and put aside.

**Who is suspected.** An owner that finishes orderly says so in `partition_progress`
(``left_well``). A claim that does not find this there makes the next owner decide one by one
what the dead one may have been at: the records from the stored offset on that stand in the log,
as many as a batch takes. If the dead one had read more, the next death finds those.

**What is noted.** Before such a record is decoded, the row gets its position (`mark_alone`). The
mark counts for as long as the stored offset is that record's, so the commit of its decision ends
it, and there is nothing to clear. A worker also tells its supervisor, over the pipe, when it
begins to compute (decode, decide) and when it is done with that.

**Which deaths count.** The one that a claim finds while the mark stands; unless the supervisor
saw it and says (``excused``) that the process was not computing then. Nothing else tells a
record's victim from somebody's: a `kill -9` looks like one for want of memory, and a process
that is killed for its silence may have been waiting for a frozen database, or be caught in an
endless loop. So with a living supervisor a foreign kill is mistaken only if it falls into the
same record's computing, some 50 microseconds, in each of three lives in a row, each of which
begins with that record and commits it some milliseconds later. Where nobody saw the death,
because the host died with its supervisor, the mark alone counts: three hosts in a row would
have to die by chance in those same milliseconds, with their seconds in between.

**What follows.** After :data:`DEATHS` of them the next owner does not decode the record: it goes
to the quarantine with its bytes, and the partition goes on. Who asked gets no verdict.

What kills its owner once it is decided (while it is published) is a crash loop, and no record
is blamed for it. A record with values that Postgres refuses kills nobody: alone, it is put aside
at once.

In ordinary operation all this costs nothing: the flag is part of the claim.
"""

from __future__ import annotations

from workers.batch import Batch, Record, Undecodable
from workers.store import Progress

DEATHS = 3


def suspects_end(progress: Progress, log_end: int, batch_size: int) -> int:
    """Records before this offset are to be decided alone."""
    if not progress.suspect:
        return progress.next_offset
    return min(progress.next_offset + batch_size, log_end)


def is_killer(progress: Progress) -> bool:
    """Whether the next record has killed as many as may die of one."""
    return progress.alone_deaths >= DEATHS


def put_aside(progress: Progress, record: Record, reason: str) -> Batch:
    """The batch that goes past this record without deciding it."""
    batch = Batch(progress.next_offset, record.offset + 1, record, progress.policy)
    batch.undecodable.append(Undecodable(record, reason))
    return batch


class Deaths:
    """What a supervisor knows of its workers' deaths, to tell their successors."""

    def __init__(self) -> None:
        self._computing: set[int] = set()
        self._excused: set[int] = set()

    def computing(self, partition: int, begins: bool) -> None:
        """Its worker begins to compute a record that it decides alone, or is done with that."""
        (self._computing.add if begins else self._computing.discard)(partition)

    def died(self, partition: int) -> None:
        """Its worker's process has ended, in whatever way."""
        (self._excused.discard if partition in self._computing else self._excused.add)(partition)
        self._computing.discard(partition)

    def excused(self, partition: int) -> bool:
        """Whether its last worker died in this supervisor's sight, and of no record."""
        return partition in self._excused

    def forget(self, partition: int) -> None:
        """Another host has it now, and may lose its worker out of sight."""
        self._computing.discard(partition)
        self._excused.discard(partition)
