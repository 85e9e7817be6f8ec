"""Records of a topic, read without the code that wrote them: MessagePack becomes plain lists."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class Logged(NamedTuple):
    """A record on a topic."""

    partition: int
    offset: int
    ms: int
    """On `attempts` always the append time; on the others by their topic's configuration."""
    fields: list[Any] | None
    """The message's array, its tag first; None where it cannot be read."""
    stamp: int = 0
    """That of its signature; 0 where it has none."""


def logged(partition: int, offset: int, ms: int, value: bytes | None) -> Logged:
    """A record with this value."""
    stamp = 0
    if value is not None and value[:1] == b"\xc1":  # a signature, which is not checked here
        stamp, value = int.from_bytes(value[5:13], "big"), value[29:]
    try:
        fields = msgspec.msgpack.decode(value) if value is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = None
    return Logged(partition, offset, ms, fields if isinstance(fields, list) else None, stamp)
