"""Who is blocked, as far as the news has come; and which partitions are alive.

No clock and no I/O in here: times are passed in, `now` on the monotonic clock in
seconds and `now_ms` in milliseconds since 1970.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from events.messages import MOST_PARTITIONS, Blocked, BlocksMessage, Heartbeat
from events.positions import Position
from gateway.blocks import Block, Blocks

__all__ = ["FRESH", "Block", "Progress", "Snapshot", "View"]

FRESH = 2.0
"""Seconds for which a heartbeat is a sign of life; four are sent in that time."""

NEARLY_OVER_MS = 1000
"""A block that ends this soon is for the log to judge, whose clock is the one that counts."""


class Progress(NamedTuple):
    """How far a partition was when a snapshot was taken."""

    epoch: int
    floor: Position
    """What happened before it is in the snapshot."""


@dataclass
class Snapshot:
    """What Postgres knew at one moment."""

    partitions: int
    progress: dict[int, Progress]
    blocks: Mapping[str, Block]


_BEGINNING = Position(0, 0)


@dataclass
class _Partition:
    epoch: int = 0
    floor: Position = _BEGINNING
    heard: float = float("-inf")
    # What was lifted, until no older news of it can come any more.
    lifted: deque[tuple[Position, str]] = field(default_factory=deque)


class View:
    """The blocks that this process knows of. It is not the truth, but seldom behind it."""

    def __init__(self) -> None:
        self.partitions = 0
        """How many are in use; 0 before anything was loaded."""
        # Others than those may become used at any moment, and their news count from then on.
        self._partitions: defaultdict[int, _Partition] = defaultdict(_Partition)
        self._blocks = Blocks()
        self._tombstones = 0

    def __len__(self) -> int:
        """How many blocks it knows of."""
        return len(self._blocks) - self._tombstones

    def load(self, snapshot: Snapshot) -> None:
        """Start anew from a snapshot. Signs of life that were heard before still count."""
        self.partitions = snapshot.partitions
        before, self._partitions = self._partitions, defaultdict(_Partition)
        for number, partition in before.items():
            self._partitions[number].heard = partition.heard
        for number, (epoch, floor) in snapshot.progress.items():
            self._partitions[number].epoch = epoch
            self._partitions[number].floor = floor
        blocks = snapshot.blocks
        self._blocks = blocks if isinstance(blocks, Blocks) else Blocks(blocks)
        self._tombstones = 0

    def apply(self, news: Iterable[BlocksMessage], now: float) -> None:
        """Take in what was heard at `now`; what is older than what is known changes nothing."""
        for item in news:
            if not self.partitions or not 0 <= item.partition < MOST_PARTITIONS:
                continue
            if isinstance(item, Heartbeat):
                self._hear(item, now)
            else:
                until_ms = item.until_ms if isinstance(item, Blocked) else 0
                self._change(item.partition, item.user, Block(item.position, until_ms))

    def blocked_until(self, user: str, now_ms: int) -> int:
        """When the account's block ends (FOREVER: by an operator); 0 where the log may decide."""
        until_ms = self._blocks.until(user)
        return until_ms if until_ms > now_ms + NEARLY_OVER_MS else 0

    def fresh(self, partition: int, now: float) -> bool:
        """Whether this partition's worker is known to live."""
        known = self._partitions.get(partition)
        return known is not None and now - known.heard <= FRESH

    def silent(self, now: float) -> list[int]:
        """The partitions that nothing was heard of lately."""
        return [number for number in range(self.partitions) if not self.fresh(number, now)]

    def prune(self, now_ms: int) -> None:
        """Forget blocks that are over; to be called now and then."""
        self._blocks.forget_ended(now_ms)

    def _hear(self, heartbeat: Heartbeat, now: float) -> None:
        partition = self._partitions[heartbeat.partition]
        if heartbeat.epoch < partition.epoch:
            return  # its sender has a successor and does not know it yet
        partition.epoch = heartbeat.epoch
        partition.heard = now
        partition.floor = max(partition.floor, heartbeat.position)
        self.partitions = max(self.partitions, heartbeat.partitions)
        while partition.lifted and partition.lifted[0][0] < partition.floor:
            position, user = partition.lifted.popleft()
            if self._blocks.get(user) == (position, 0):
                del self._blocks[user]
                self._tombstones -= 1

    def _change(self, partition: int, user: str, block: Block) -> None:
        known = self._blocks.get(user)
        if block.position < self._partitions[partition].floor:
            return  # a repetition, or a zombie's
        if known is not None and block.position <= known.position:
            return
        self._blocks[user] = block
        self._tombstones += (not block.until_ms) - (known is not None and not known.until_ms)
        if not block.until_ms:
            self._partitions[partition].lifted.append((block.position, user))
