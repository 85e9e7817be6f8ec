"""The blocked accounts as far as `blocks` has been read, and which partitions are alive.

No clock and no I/O in here: times are passed in, `now` on the monotonic clock in
seconds and `now_ms` in milliseconds since 1970.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from events.messages import MOST_PARTITIONS, Blocked, BlocksMessage, Claimed, Heartbeat
from events.positions import Position
from gateway.blocklist.compact_block_map import BlockEntry, CompactBlockMap
from gateway.blocklist.log_clock import LogClock
from gateway.blocklist.log_ends import LogEnds

__all__ = [
    "FRESH_SECONDS",
    "BlockEntry",
    "Blocklist",
    "BlocklistSnapshot",
    "HeardOwner",
    "PartitionFloor",
    "ReadRecord",
]

FRESH_SECONDS = 2.0
"""So long a heartbeat is a sign of life (four are sent in that time), and so long it is enough to
know what the log held."""

STILL_SECONDS = 1.0
"""A process that has not run for longer stood still: :meth:`Blocklist.run` is called twice in that
time, and what it knew may have become too old."""

READING_SECONDS = 1.0
"""So long after that it reads what came meanwhile; each owner has sent two more heartbeats then."""


class _Beat(NamedTuple):
    """The last heartbeat of a partition that was read."""

    epoch: int
    appended_ms: int
    visible_after: float


class ReadRecord(NamedTuple):
    """A record of `blocks` as it was read."""

    offset: int
    appended_ms: int | None
    """On the brokers' clock; None where that is not known."""
    message: BlocksMessage | None
    """None where it cannot be decoded."""


class HeardOwner(NamedTuple):
    """What is known of a partition's owner."""

    epoch: int
    next: Position
    """Everything before this position is decided and published."""
    heard: float
    """When its last heartbeat was read; -inf: none was."""


class PartitionFloor(NamedTuple):
    """The progress of a partition when the snapshot was taken."""

    epoch: int
    floor: Position
    """Everything before this position is in the snapshot."""


@dataclass
class BlocklistSnapshot:
    """The blocks and the progress in Postgres at one moment."""

    partitions: int
    progress: dict[int, PartitionFloor]
    blocks: Mapping[str, BlockEntry]


_BEGINNING = Position(0, 0)


@dataclass
class _Partition:
    epoch: int = 0
    floor: Position = _BEGINNING
    next: Position = _BEGINNING
    """Everything that is known of was decided before this position."""
    published: Position = _BEGINNING
    """The position of the last heartbeat."""
    heard: float = float("-inf")
    # Tombstones: lifted blocks, until no older record of them can arrive.
    lifted: deque[tuple[Position, str]] = field(default_factory=deque)


class Blocklist:
    """The blocks that this process knows of. Postgres is the truth; this is seldom behind.

    News of another epoch than that of a partition's last claim are a former owner's. A claim that
    begins before what is known puts everything in doubt: the database went back. So does one of a
    lower epoch, which may as well be a former owner's that comes late, and a heartbeat that falls
    behind the last one, as none does after such a claim: somebody else wrote one of them.
    """

    def __init__(self) -> None:
        self.partitions = 0
        """The number of partitions in use; 0 before the first snapshot."""
        self.unconfirmed_partitions = 0
        """A larger number that a heartbeat says; 0 for none. Postgres has to confirm it: a record
        that nobody honest wrote would send the accounts to partitions that have no worker."""
        self.doubt = ""
        """Why a new snapshot is needed; until then the log decides about everybody."""
        self.clock = LogClock()
        """The brokers' clock, as the records of `blocks` show it."""
        self.ends = LogEnds()
        """How much of `blocks` was read when."""
        # Further partitions may come into use at any moment; their records count from then on.
        self._partitions: defaultdict[int, _Partition] = defaultdict(_Partition)
        self._blocks = CompactBlockMap()
        self._tombstones = 0
        self._visible_after = -inf  # what is read now could not be read at this moment
        self._beats: dict[int, _Beat] = {}  # by partition
        self._ran = inf  # when this process was known to run; inf: not asked for yet
        self._went_on = -inf  # when it was after it had stood still

    def __len__(self) -> int:
        """The number of known blocks."""
        return len(self._blocks) - self._tombstones

    def load(self, snapshot: BlocklistSnapshot) -> None:
        """Start anew from a snapshot. Earlier heartbeats still count as signs of life."""
        self.partitions, self.unconfirmed_partitions = snapshot.partitions, 0
        self.doubt = ""
        before, self._partitions = self._partitions, defaultdict(_Partition)
        for number, partition in before.items():
            self._partitions[number].heard = partition.heard
        for number, (epoch, floor) in snapshot.progress.items():
            known = self._partitions[number]
            known.epoch, known.floor, known.next = epoch, floor, floor
        blocks = snapshot.blocks
        self._blocks = blocks if isinstance(blocks, CompactBlockMap) else CompactBlockMap(blocks)
        self._tombstones = 0

    def use(self, partitions: int) -> None:
        """So many partitions are in use, as Postgres says. They never become fewer."""
        self.partitions = max(self.partitions, partitions)
        self.unconfirmed_partitions = 0

    def read(self, records: Iterable[ReadRecord], now: float) -> None:
        """Take in records of `blocks` that were read at `now`."""
        messages = []
        for offset, appended_ms, message in records:
            asked = self.ends.read(offset, now)
            if asked is not None:
                self._visible_after = asked
            if appended_ms is not None:
                if isinstance(message, Heartbeat):
                    self.clock.learn(self._sent_after(message, appended_ms), now, appended_ms)
                elif asked is not None:
                    self.clock.learn(-inf, now, appended_ms)
            if message is not None:
                messages.append(message)
        self.apply(messages, now)

    def apply(self, messages: Iterable[BlocksMessage], now: float) -> None:
        """Apply messages that were read at `now`; older ones change nothing."""
        for message in messages:
            if not self.partitions or not 0 <= message.partition < MOST_PARTITIONS:
                continue
            partition = self._partitions[message.partition]
            if isinstance(message, Claimed):
                self._continue(partition, message)
            elif isinstance(message, Heartbeat):
                self._hear(partition, message, now)
            elif message.epoch in (0, partition.epoch):
                until_ms = message.until_ms if isinstance(message, Blocked) else 0
                self._change(partition, message.user, BlockEntry(message.position, until_ms))

    def knows(self, now: float) -> bool:
        """Whether an account that this knows no block of has none, but for the last two seconds."""
        fresh = now - self.ends.read_up_to <= FRESH_SECONDS
        return fresh and not self.doubt and self.clock.bounds(now) is not None

    def refused_until(self, user: str, now: float) -> int:
        """The end of the account's block (FOREVER: by an operator); 0 where the log decides.

        The log decides where it is not sure that the block stands: where it may be over by the
        brokers' clock, and where it may have been lifted two seconds ago.
        """
        bounds = self.clock.bounds(now)
        if bounds is None or now - self.ends.read_up_to > FRESH_SECONDS:
            return 0
        return self.blocked_until(user, bounds.latest_ms)

    def blocked_until(self, user: str, now_ms: int) -> int:
        """The same, by what is known at this time on the brokers' clock."""
        until_ms = 0 if self.doubt else self._blocks.until(user)
        return until_ms if until_ms > now_ms else 0

    def fresh(self, partition: int, now: float) -> bool:
        """Whether this partition's worker is known to live."""
        known = self._partitions.get(partition)
        return known is not None and now - known.heard <= FRESH_SECONDS

    def run(self, now: float) -> None:
        """This process runs at `now`; to be called every half second or so."""
        if now - self._ran > STILL_SECONDS:
            self._went_on = now
        self._ran = now

    def stood_still(self, now: float) -> bool:
        """Whether this process stood still until a moment ago.

        A partition may be silent only because its heartbeats wait to be read.
        """
        return now - self._ran > STILL_SECONDS or now - self._went_on <= READING_SECONDS

    def silent(self, now: float) -> list[int]:
        """The partitions in use without a fresh heartbeat."""
        return [number for number in range(self.partitions) if not self.fresh(number, now)]

    def owners(self) -> list[HeardOwner]:
        """What was heard of the owners of the partitions in use, by partition."""
        known = [self._partitions[number] for number in range(self.partitions)]
        return [HeardOwner(one.epoch, one.floor, one.heard) for one in known]

    def prune(self, now_ms: int) -> None:
        """Forget ended blocks; to be called every half second or so."""
        self._blocks.forget_ended(now_ms)

    def _sent_after(self, heartbeat: Heartbeat, appended_ms: int) -> float:
        """A moment before an owner sent this heartbeat; -inf where none is known.

        A record becomes visible once it is replicated, which may be seconds after it was appended.
        But an owner has one request under way: what it sends next, in another batch and so with a
        later append time, it sends when all brokers have the former, which was visible then.
        """
        former = self._beats.get(heartbeat.partition)
        beat = _Beat(heartbeat.epoch, appended_ms, self._visible_after)
        self._beats[heartbeat.partition] = beat
        if former is None or former.epoch != beat.epoch or former.appended_ms >= appended_ms:
            return -inf
        return former.visible_after

    def _continue(self, partition: _Partition, claim: Claimed) -> None:
        if claim.epoch == partition.epoch:
            return  # the snapshot was taken after the claim
        if claim.epoch < partition.epoch or claim.position < partition.next:
            self.doubt = self.doubt or (
                f"partition {claim.partition} was claimed at {tuple(claim.position)} in epoch "
                f"{claim.epoch}, and is known up to {tuple(partition.next)} in {partition.epoch}: "
                "the database may have gone back"
            )
        partition.epoch = claim.epoch

    def _hear(self, partition: _Partition, heartbeat: Heartbeat, now: float) -> None:
        if heartbeat.epoch != partition.epoch and not self.doubt:
            if now - partition.heard <= FRESH_SECONDS:
                return  # from an owner that has been fenced and does not know it yet
            self.doubt = (
                f"partition {heartbeat.partition} has an owner of epoch {heartbeat.epoch} whose "
                f"claim was not heard, and none of {partition.epoch}"
            )
        partition.heard = now
        if heartbeat.partitions > self.partitions:
            self.unconfirmed_partitions = heartbeat.partitions
        if self.doubt:
            return  # in which nobody can say whose heartbeats count
        if heartbeat.position < partition.published:
            self.doubt = (
                f"partition {heartbeat.partition} is published up to {tuple(heartbeat.position)}, "
                f"and was up to {tuple(partition.published)} before"
            )
            return
        partition.published = heartbeat.position
        partition.floor = max(partition.floor, heartbeat.position)
        partition.next = max(partition.next, partition.floor)
        while partition.lifted and partition.lifted[0][0] < partition.floor:
            position, user = partition.lifted.popleft()
            if self._blocks.get(user) == (position, 0):
                del self._blocks[user]
                self._tombstones -= 1

    def _change(self, partition: _Partition, user: str, block: BlockEntry) -> None:
        known = self._blocks.get(user)
        if block.position < partition.floor:
            return  # a repetition, or from a fenced owner
        if known is not None and block.position <= known.position:
            return
        generation, offset = block.position
        partition.next = max(partition.next, Position(generation, offset + 1))
        self._blocks[user] = block
        self._tombstones += (not block.until_ms) - (known is not None and not known.until_ms)
        if not block.until_ms:
            partition.lifted.append((block.position, user))
