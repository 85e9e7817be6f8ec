"""A small map from accounts to blocks: some fifty bytes for each, where a dict takes 400.

No library was found that keeps a million short texts with three numbers each in so little.

Accounts are spread over shards by their hash. A shard has the names in one text, which is
searched by one call, and their numbers in one array in the same order. With a million blocks a
look-up takes a microsecond or two, and no change moves more than one shard.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import NamedTuple

from events.messages import FOREVER
from events.positions import Position

SHARDS = 8192
SEPARATOR = b"\xff"  # occurs in no UTF-8

ENDED_MS = 60_000
"""An ended block waits so long, so that others of its shard are forgotten with it."""

AT_ONCE = 32
"""Shards that one call goes through, which takes a few milliseconds."""


class BlockEntry(NamedTuple):
    """An account's block, and the position in its partition's history that set it."""

    position: Position
    until_ms: int


class CompactBlockMap(MutableMapping[str, BlockEntry]):
    """The blocks by account."""

    def __init__(self, blocks: Mapping[str, BlockEntry] | None = None) -> None:
        self._shards: list[_Shard | None] = [None] * SHARDS
        self._first_ends = array("q", [FOREVER]) * SHARDS
        self._first_end = FOREVER
        """No block ends before this."""
        self._len = 0
        for user, block in (blocks or {}).items():
            self.add(user, block)

    def add(self, user: str, block: BlockEntry) -> None:
        """Set the block of an account that has none yet."""
        self.add_all(((user, block.until_ms, *block.position),))

    def add_all(self, rows: Iterable[tuple[str, int, int, int]]) -> None:
        """Set the blocks of accounts that have none yet: name, end, generation and offset.

        For a snapshot: an object for each would take as long as all the rest.
        """
        shards, first_ends = self._shards, self._first_ends
        for user, until_ms, generation, offset in rows:
            place = hash(user) % SHARDS
            shard = shards[place]
            if shard is None:
                shard = shards[place] = _Shard()
            names = shard.names
            names += user.encode()
            names += SEPARATOR
            shard.numbers.extend((until_ms, generation, offset))
            self._len += 1
            if 0 < until_ms < first_ends[place]:
                first_ends[place] = until_ms
                self._first_end = min(self._first_end, until_ms)

    def until(self, user: str) -> int:
        """The end of the account's block; 0 where there is none."""
        shard = self._shards[hash(user) % SHARDS]
        if shard is None:
            return 0
        number = shard.find(user.encode())
        return 0 if number < 0 else shard.until(number)

    def forget_ended(self, now_ms: int) -> None:
        """Forget ended blocks; if there are many, a part of them."""
        before = now_ms - ENDED_MS
        if self._first_end > before:
            return
        due = (place for place, end in enumerate(self._first_ends) if end <= before)
        for place, _ in zip(due, range(AT_ONCE), strict=False):
            old, new, first_end = self._shards[place], _Shard(), FOREVER
            assert old is not None
            for name, block in old.items():
                if not 0 < block.until_ms <= now_ms:
                    new.add(name, block)
                    first_end = min(first_end, block.until_ms or FOREVER)
            self._shards[place], self._first_ends[place] = new, first_end
            self._len += len(new) - len(old)
        self._first_end = min(self._first_ends)

    def __getitem__(self, user: str) -> BlockEntry:
        """The account's block, or KeyError."""
        shard, number = self._find(user)
        return shard.block(number)

    def __setitem__(self, user: str, block: BlockEntry) -> None:
        """Set or replace the account's block."""
        try:
            shard, number = self._find(user)
        except KeyError:
            self.add(user, block)
            return
        shard.replace(number, block)
        place = hash(user) % SHARDS
        if 0 < block.until_ms < self._first_ends[place]:
            self._first_ends[place] = block.until_ms
            self._first_end = min(self._first_end, block.until_ms)

    def __delitem__(self, user: str) -> None:
        """Forget the account's block, or KeyError."""
        shard, number = self._find(user)
        shard.remove(number, user.encode())
        self._len -= 1

    def __iter__(self) -> Iterator[str]:
        """The accounts, in no order."""
        for shard in self._shards:
            if shard is not None:
                yield from (name.decode() for name, _ in shard.items())

    def __len__(self) -> int:
        """The number of blocks."""
        return self._len

    def _find(self, user: str) -> tuple[_Shard, int]:
        shard = self._shards[hash(user) % SHARDS]
        number = -1 if shard is None else shard.find(user.encode())
        if shard is None or number < 0:
            raise KeyError(user)
        return shard, number


class _Shard:
    __slots__ = ("names", "numbers")

    def __init__(self) -> None:
        self.names = bytearray(SEPARATOR)  # each is followed by another one
        self.numbers = array("q")  # of each name three: when the block ends, generation, offset

    def __len__(self) -> int:
        return len(self.numbers) // 3

    def find(self, name: bytes) -> int:
        at = self.names.find(b"%b%b%b" % (SEPARATOR, name, SEPARATOR))
        return -1 if at < 0 else self.names.count(SEPARATOR, 0, at)

    def until(self, number: int) -> int:
        return self.numbers[3 * number]

    def block(self, number: int) -> BlockEntry:
        until_ms, generation, offset = self.numbers[3 * number : 3 * number + 3]
        return BlockEntry(Position(generation, offset), until_ms)

    def items(self) -> Iterator[tuple[bytes, BlockEntry]]:
        names = bytes(self.names).split(SEPARATOR)[1:-1]
        return ((name, self.block(number)) for number, name in enumerate(names))

    def add(self, name: bytes, block: BlockEntry) -> None:
        self.names += name
        self.names += SEPARATOR
        self.numbers.extend((block.until_ms, *block.position))

    def replace(self, number: int, block: BlockEntry) -> None:
        self.numbers[3 * number : 3 * number + 3] = array("q", (block.until_ms, *block.position))

    def remove(self, number: int, name: bytes) -> None:
        # With the separator before it: a longer name may end in the same way.
        self.names = self.names.replace(SEPARATOR + name + SEPARATOR, SEPARATOR, 1)
        del self.numbers[3 * number : 3 * number + 3]
