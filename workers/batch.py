"""Decides a batch of records in log order: pure, from records and states to what is to be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from events.messages import (
    Attempt,
    AttemptsMessage,
    Decision,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    UndecodableError,
    decode_attempts,
)
from workers.policy import CLEAN, LockState, Ruling, rule_attempt, rule_clearing

_KINDS = {kind: str(kind.__struct_config__.tag) for kind in get_args(AttemptsMessage)}

_OF_ACCOUNTS = (Attempt, Registered, Unblock)

_TAKEN, _REFUSED, _MOVED, _REPEATED = (
    Ruling(decision, CLEAN, 0, 0)
    for decision in (Decision.ACCEPTED, Decision.REJECTED, Decision.MOVED, Decision.REPEATED)
)
"""What follows from a record that is no account's, or is not decided."""

BEFORE_ANY_POLICY = Policy()
"""Decides records that stand before a partition's first policy, which no gateway sends."""


class Record(NamedTuple):
    """One record of `attempts`, as it was read."""

    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes | None


class AuditRow(NamedTuple):
    """One decision, as it is kept and published."""

    appended_ms: int
    offset: int
    id: bytes
    kind: str
    user: str
    right: bool | None
    decision: Decision
    until_ms: int
    change: int
    policy_version: int
    reply_partition: int


class Undecodable(NamedTuple):
    """A record for the quarantine."""

    record: Record
    reason: str


@dataclass
class Batch:
    """What one commit writes: everything that follows from some consecutive records."""

    from_offset: int
    to_offset: int
    last: Record
    policy: Policy | None
    """The policy after the batch; None if there has not been any."""
    policy_changed: bool = False
    states: dict[str, tuple[LockState, int]] = field(default_factory=dict)
    """Changed states with the offset of the record that set them."""
    audit: list[AuditRow] = field(default_factory=list)
    undecodable: list[Undecodable] = field(default_factory=list)


def fingerprint(record: Record) -> bytes:
    """Sixteen bytes by which a record is known again."""
    return hashlib.blake2b(record.value or b"", digest_size=16).digest()


def decode(records: Sequence[Record]) -> list[tuple[Record, AttemptsMessage | UndecodableError]]:
    """What each record says, or why it cannot be read."""
    decoded: list[tuple[Record, AttemptsMessage | UndecodableError]] = []
    for record in records:
        try:
            decoded.append((record, decode_attempts(record.value)))
        except UndecodableError as error:
            decoded.append((record, error))
    return decoded


def users_of(decoded: Sequence[tuple[Record, AttemptsMessage | UndecodableError]]) -> set[str]:
    """The accounts whose states a batch needs."""
    return {message.user for _, message in decoded if isinstance(message, _OF_ACCOUNTS)}


def decide(
    from_offset: int,
    decoded: Sequence[tuple[Record, AttemptsMessage | UndecodableError]],
    states: Mapping[str, LockState],
    policy: Policy | None,
    layout: int = 0,
    is_repeated: Callable[[bytes, int], bool] = lambda _id, _offset: False,
) -> Batch:
    """Decide these records, which start at ``from_offset``, one after the other.

    ``states`` are those of before the batch; an account that is not among them is clean.
    What is of a smaller layout than the partition's is not decided (see `workers.layout`), nor is
    a request whose id stands in this batch already, or that ``is_repeated`` knows of before it.
    """
    last = decoded[-1][0]
    ids: set[bytes] = set()
    batch = Batch(from_offset, last.offset + 1, last, policy)
    for record, message in decoded:
        if isinstance(message, UndecodableError):
            batch.undecodable.append(Undecodable(record, str(message)))
        elif isinstance(message, SetPolicy):
            # Of two hosts that propose the first policy, or of two commands, the first one holds.
            newer = batch.policy is None or message.policy.version > batch.policy.version
            if newer:
                batch.policy, batch.policy_changed = message.policy, True
            batch.audit.append(
                _audit_row(record, message, _TAKEN if newer else _REFUSED, batch.policy)
            )
        elif message.partitions < layout:
            batch.audit.append(_audit_row(record, message, _MOVED, batch.policy))
        elif message.id in ids or is_repeated(message.id, record.offset):
            batch.audit.append(_audit_row(record, message, _REPEATED, batch.policy))
            ids.add(message.id)
        elif isinstance(message, SetLayout):
            batch.audit.append(_audit_row(record, message, _TAKEN, batch.policy))
        else:
            user = message.user
            current = batch.policy or BEFORE_ANY_POLICY
            before = batch.states[user][0] if user in batch.states else states.get(user, CLEAN)
            if isinstance(message, Attempt):
                ruling = rule_attempt(current, before, message.right, record.appended_ms)
            else:
                ruling = rule_clearing(before, record.appended_ms)
            if ruling.state != before:
                batch.states[user] = (ruling.state, record.offset)
            batch.audit.append(_audit_row(record, message, ruling, current))
            ids.add(message.id)
    return batch


def _audit_row(
    record: Record, message: AttemptsMessage, ruling: Ruling, policy: Policy | None
) -> AuditRow:
    return AuditRow(
        record.appended_ms,
        record.offset,
        message.id,
        _KINDS[type(message)],
        message.user if isinstance(message, _OF_ACCOUNTS) else "",
        message.right if isinstance(message, Attempt) else None,
        ruling.decision,
        ruling.until_ms,
        ruling.change,
        policy.version if policy else 0,
        message.reply_partition,
    )
