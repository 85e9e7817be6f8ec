"""Breaks valid input in a few places, by a random generator with a seed."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

NUMBERS = (
    *(-(2**63), -(2**31), -1, 0, 1, 5, 16, 99, 101, 127, 128, 255, 256, 1_024, 1_025, 65_535),
    *(2**31 - 1, 2**31, 2**32, 2**53 + 1, 7_258_118_400_000, 2**63 - 1, 2**63, 2**64 - 1),
    *(0.0, -0.0, 5.0, 1.5, 1e308, math.inf, -math.inf, math.nan),
)

TEXTS = (
    *("", "a", "an\0na", "a" * 256, "a" * 257, "\ufeff", "\u202eanna", "\N{GRINNING FACE}" * 64),
    *(
        "\x1b[2J\x1b]0;x\a",
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "%s%n%x",
        "../../etc/passwd",
    ),
    *("e\u0301" * 120, "\u0344" * 200, "\U0010ffff", "\u2028", "attempt", "policy", "heartbeat"),
)

ATOMS: tuple[Any, ...] = (
    *NUMBERS,
    *TEXTS,
    *(None, True, False, b"", b"\0" * 16, b"\xff" * 17, [], {}, [[]], {1: 2}, {"a": []}),
    msgspec.msgpack.Ext(1, b"x"),
    msgspec.msgpack.Ext(-1, b"\0\0\0\0"),
)
"""What nobody expects in any place, but for the few for which it is the limit."""

RAW = (
    *(b"\xc1", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"),
    *(b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xd9\x03"),
    *(
        b"\xa3\xed\xa0\x80",
        b"\xa2\xff\xfe",
        b"\x91" * 2_000,
        b"\x81\xa1a" * 700,
        b"\xcf" + b"\xff" * 8,
    ),
    *(b"\xd3\x80" + bytes(7), b"\xca\x7f\xc0\0\0", b"\xd7\xff" + b"\xff" * 8, bytes(64)),
)
"""Beginnings of MessagePack whose ends never come, depths, and text that is none."""


class Mutator:
    """All of it by one generator: the same seed gives the same inputs."""

    def __init__(self, seed: int | str) -> None:
        self.random = Random(seed)

    def message(self, example: bytes) -> bytes:
        """A message that mostly differs from this one: often well-formed, seldom valid."""
        random = self.random
        if (way := random.random()) < 0.3:
            return self.bytes(example) if way < 0.2 else example
        if way < 0.31 and 0x90 <= example[0] < 0x9F:  # a short array: one element more, and deep
            depth = random.choice((100, 900, 1_100, 5_000))
            return bytes([example[0] + 1]) + example[1:] + b"\x91" * depth + b"\xc0"
        tree = _decode(example)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            tree = self._tree(tree)
        try:
            data = _encode(tree)
        except (TypeError, OverflowError, RecursionError):  # no MessagePack has this
            return self.bytes(example)
        return self.bytes(data) if random.random() < 0.1 else data

    def bytes(self, data: bytes, more: tuple[bytes, ...] = RAW) -> bytes:
        """These bytes, changed in one to four places."""
        random, changed = self.random, bytearray(data)
        for _ in range(random.randint(1, 4)):
            here = random.randrange(len(changed) + 1)
            match random.randrange(7):
                case 0 if changed:
                    changed[here % len(changed)] ^= 1 << random.randrange(8)
                case 1 if changed:
                    changed[here % len(changed)] = random.randrange(256)
                case 2:
                    del changed[here:]
                case 3:
                    del changed[here : here + random.randint(1, 8)]
                case 4:
                    changed[here:here] = random.randbytes(random.randint(1, 8))
                case 5:
                    changed[here:here] = changed[here : here + random.randint(1, 64)]
                case _:
                    changed[here:here] = random.choice(more)
        return bytes(changed)

    def atom(self) -> Any:
        """Any of `ATOMS`, or text or bytes of any length."""
        random = self.random
        if random.random() < 0.9:
            return random.choice(ATOMS)
        if random.random() < 0.5:
            return random.randbytes(random.choice((1, 15, 16, 17, 300, 5_000)))
        return "".join(map(chr, random.choices(range(1, 0xD800), k=random.choice((1, 60, 257)))))

    def _tree(self, tree: Any) -> Any:
        random = self.random
        if not isinstance(tree, list) or not tree or random.random() < 0.05:
            return self.atom()
        changed, here = list(tree), random.randrange(len(tree))
        match random.randrange(12):
            case 0:
                del changed[here]
            case 1:
                changed.insert(here, self.atom())
            case 2:
                changed.append(self.atom())
            case 3:
                changed[here], changed[0] = changed[0], changed[here]
            case 4:
                del changed[here:]
            case 5 | 6 | 7 | 8:
                changed[here] = self._near(tree[here])
            case _:
                changed[here] = self._tree(tree[here])
        return changed

    def _near(self, value: Any) -> Any:
        """A value of the same kind, so that the message stays one mostly."""
        random = self.random
        match value:
            case bool():
                return not value
            case int():
                return random.choice((value - 1, value + 1, random.choice(NUMBERS[:24])))
            case str():
                return random.choice(
                    (value + random.choice(TEXTS), random.choice(TEXTS), value * 3)
                )
            case bytes():
                return random.randbytes(len(value))
            case list():
                return [self._near(one) for one in value]
        return self.atom()
