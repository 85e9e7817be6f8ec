"""Seals: what vouches for the audit rows of each batch, so that a change by hand is found.

A seal has a digest of the batch's rows and the digest of the seal before it. So a row that is
changed, deleted or inserted belongs to no seal, and a seal that is changed or deleted breaks the
chain. Where records are signed, a seal is, too: who can write to Postgres cannot make it anew. It
has the policies of its batch as well, since the audit has only their versions, and what was read
before them may be deleted.

**What a row says of a person** can be taken out by the deletion of an account. So the digest has
this part as the SHA-256 of a random salt, the lengths of its values, and the values. The salt
stands in the row; a deletion puts the SHA-256 in its place (SQL `erase_name`). The seal still
holds, and without the salt nobody can try names against it.

`oracle` checks seals, by code of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b, sha256
from struct import Struct
from typing import NamedTuple

import msgspec

from events.messages import Message, Policy, encode
from events.signatures import Sealer
from workers.decision.batch import AuditRow, Batch

AUDIT_LOG = "audit"
"""Stands for the topic in the signature of a seal."""

SALT_BYTES = 16


class Seal(Message, frozen=True, array_like=True, tag="seal"):
    """What vouches for a batch.

    ``latest_ms`` is the latest append time of anything decided before it, ``content`` the digest of
    its ``rows``, ``previous`` that of the seal before it. ``policies`` has the one in force before
    the batch, and those that came in it, each as the list of its fields.
    """

    partition: int
    generation: int
    from_offset: int
    to_offset: int
    first_ms: int
    last_ms: int
    latest_ms: int
    policies: list[list[object]]
    rows: int
    content: bytes
    previous: bytes


class Sealed(NamedTuple):
    """A seal as it is stored, with what goes beside it."""

    value: bytes
    digest: bytes
    first_ms: int
    last_ms: int
    latest_ms: int
    """Of everything decided up to here."""
    salts: list[bytes]


class SealChain:
    """The seals of one partition by its owner."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._last: bytes | None = None
        self._latest_ms = 0

    def begin(self, last: bytes | None, latest_ms: int) -> None:
        """Go on after the seal with this digest, and after everything decided until then."""
        self._last, self._latest_ms = last, latest_ms

    def seal(self, partition: int, generation: int, policy: Policy | None, batch: Batch) -> Sealed:
        """The seal of a batch before which this policy is in force."""
        drawn = os.urandom(SALT_BYTES * len(batch.audit))
        salts = [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        times = [row.appended_ms for row in batch.audit] or [batch.last.appended_ms]
        first_ms, last_ms = min(times), max(times)
        policies = [*([policy] if policy else []), *batch.new_policies]
        seal = Seal(
            partition=partition,
            generation=generation,
            from_offset=batch.from_offset,
            to_offset=batch.to_offset,
            first_ms=first_ms,
            last_ms=last_ms,
            latest_ms=self._latest_ms,
            policies=[list(msgspec.structs.astuple(each)) for each in policies],
            rows=len(batch.audit),
            content=_content(batch.audit, salts),
            previous=self._last or b"",
        )
        value = self._sealer.seal("worker", encode(seal), partition)
        digest = blake2b(value, digest_size=32).digest()
        return Sealed(value, digest, first_ms, last_ms, max(self._latest_ms, last_ms), salts)


def _content(rows: Sequence[AuditRow], salts: Sequence[bytes]) -> bytes:
    """The digest of the rows: of an array in MessagePack, with an array for each."""
    fields = [
        (
            *(row.appended_ms, row.offset, row.id, row.kind, row.right, row.decision),
            *(row.until_ms, row.change, row.policy_version, row.reply_partition),
            *(row.delayed_ms, _person(row, salt)),
            # Rows from before there were any have their digest still.
            *(() if row.operator is None else (row.operator,)),
        )
        for row, salt in zip(rows, salts, strict=True)
    ]
    return blake2b(msgspec.msgpack.encode(fields), digest_size=32).digest()


def _person(row: AuditRow, salt: bytes) -> bytes:
    """What stands for a person in the digest."""
    user, source, user_agent = row.user, row.source, row.user_agent
    device, guess, reason = row.device, row.guess, row.reason
    lengths = _LENGTHS(
        len(user),
        -1 if source is None else len(source),
        -1 if user_agent is None else len(user_agent),
        -1 if device is None else len(device),
        -1 if guess is None else len(guess),
    )
    text = f"{user}{source or ''}{user_agent or ''}".encode()
    parts = [salt, lengths, text, device or b"", guess or b""]
    if reason is not None:
        parts[2:2] = [_LENGTH(len(reason))]
        parts.append(reason.encode())
    return sha256(b"".join(parts)).digest()


_LENGTHS, _LENGTH = Struct(">5i").pack, Struct(">i").pack
"""Of texts in characters, of others in bytes; -1: none."""
