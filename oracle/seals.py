"""Seals: what the workers leave beside each batch's audit rows, and whether the rows are those.

A seal is an array in MessagePack, in the envelope of records where these are signed: the word
"seal", partition, generation, the offsets from and to, the earliest and the latest append time of
its rows, the latest one before it, the policies, the number of rows, their digest, and the digest
of the seal before it. Digests are BLAKE2b of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Any, Literal, NamedTuple

import msgspec

POLICY_FIELDS = (
    *("version", "threshold", "window_ms", "block_ms", "block_max_ms", "final_failures"),
    *("forget_ms", "repeated_guesses", "forget_each_ms"),
)
"""A policy is the list of these; a longer list is of a newer Cerrojo."""

LEAST_FIELDS = 7
"""The first policies had these, all of them numbers."""

TAKEN_BYTES = 32


class Row(NamedTuple):
    """A row of the audit, of a partition and generation that are known from elsewhere."""

    offset: int
    ms: int
    id: bytes
    kind: str
    user: str
    right: bool | None
    decision: int
    until_ms: int
    change: int
    policy_version: int
    reply_partition: int
    source: str | None
    user_agent: str | None
    delayed_ms: int
    device: bytes | None
    guess: bytes | None
    salt: bytes | None
    """Random; the digest of what the row said of a person where a deletion took that. None: the row
    is from before there were seals."""
    operator: str | None = None
    reason: str | None = None
    """None, as also in rows from before there was one: it is not in the digest."""

    @property
    def lost_its_name(self) -> bool:
        """Whether a deletion has taken the name."""
        return self.salt is not None and len(self.salt) == TAKEN_BYTES


COLUMNS = (
    "log_offset, appended_ms, id, kind, username, right_password, decision, until_ms, change,"
    " policy_version, reply_partition, source, user_agent, delayed_ms, device, guess, salt,"
    " operator, reason"
)
"""The columns of a row, in the order of its fields."""


class Seal(NamedTuple):
    """What vouches for a batch, in the order of its array."""

    tag: Literal["seal"]
    partition: int
    generation: int
    from_offset: int
    to_offset: int
    first_ms: int
    last_ms: int
    latest_ms: int
    policy_fields: list[list[int | str]]
    rows: int
    content: bytes
    previous: bytes

    @property
    def policies(self) -> list[dict[str, Any]]:
        """Those that came into force in it, and before them the one that was."""
        return [dict(zip(POLICY_FIELDS, each, strict=False)) for each in self.policy_fields]


_decoder = msgspec.msgpack.Decoder(Seal)


def read(body: bytes | None) -> Seal:
    """The seal in a message. Raises ValueError where it is none."""
    try:
        seal = _decoder.decode(body or b"")
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("it is no seal") from error
    numbers = [each[:LEAST_FIELDS] for each in seal.policy_fields]
    if any([type(one) for one in each] != [int] * LEAST_FIELDS for each in numbers):
        raise ValueError("it has a policy that is none")
    return seal


def digest(value: bytes) -> bytes:
    """The digest of a seal as it is stored."""
    return blake2b(value, digest_size=32).digest()


def content(rows: Sequence[Row]) -> bytes:
    """The digest of these rows."""
    fields = [
        (
            *(row.ms, row.offset, row.id, row.kind, row.right, row.decision, row.until_ms),
            *(row.change, row.policy_version, row.reply_partition, row.delayed_ms, _person(row)),
            *([] if row.operator is None else [row.operator]),
        )
        for row in rows
    ]
    return blake2b(msgspec.msgpack.encode(fields), digest_size=32).digest()


def _person(row: Row) -> bytes:
    """What stands for a person in the digest; nothing where the row cannot be as it was written.

    The SHA-256 of the salt, of the lengths of what is said, and of that.
    """
    if row.salt is None:
        return b""
    said: list[str | bytes | None] = [row.user, row.source, row.user_agent, row.device, row.guess]
    if row.reason is not None:
        said.append(row.reason)
    if row.lost_its_name:
        return b"" if any(said[:1]) or any(one is not None for one in said[1:]) else row.salt
    found = sha256(row.salt)
    for one in said:
        found.update((-1 if one is None else len(one)).to_bytes(4, "big", signed=True))
    for one in said:
        found.update(one.encode() if isinstance(one, str) else one or b"")
    return found.digest()
