"""Decides a batch of records in log order: a pure function of records and lock states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from events.messages import (
    Attempt,
    AttemptsMessage,
    Block,
    Decision,
    Deleted,
    Note,
    OfAccount,
    Policy,
    SetLayout,
    SetPolicy,
    Unblock,
    UndecodableError,
    decode_attempts,
    name_of,
)
from events.partitioner import partition_of
from workers.decision.policy import (
    CLEAN,
    GUESS_BYTES,
    UNKNOWN,
    LockState,
    Ruling,
    rule_attempt,
    rule_block,
    rule_clearing,
    rule_deletion,
    rule_note,
)

_KINDS = {kind: str(kind.__struct_config__.tag) for kind in get_args(AttemptsMessage)}

_OF_ACCOUNTS = get_args(OfAccount)

_NAMELESS = {_KINDS[kind] for kind in (SetPolicy, SetLayout, Deleted)}

_TAKEN, _REFUSED, _MOVED, _REPEATED, _LATE = (
    Ruling(decision, CLEAN, 0, 0)
    for decision in (
        *(Decision.ACCEPTED, Decision.REJECTED, Decision.MOVED, Decision.REPEATED, Decision.LATE),
    )
)
"""Rulings on records that concern no account, or are not decided."""

NOTHING_CAME_OF_IT = (Decision.MOVED, Decision.LATE)
"""A request whose id had one of these is no repetition: its sender asks again with the same id."""

DEVICE_BYTES = 4
"""So much of a device's id is in the audit."""

BEFORE_ANY_POLICY = Policy()
"""Decides records before a partition's first policy. No gateway sends any so early."""


class Record(NamedTuple):
    """One record of `attempts` as read from Kafka."""

    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes | None


Decoded = tuple[Record, AttemptsMessage | UndecodableError]
"""A record with its message, or with the error if it has none."""


class AuditRow(NamedTuple):
    """One decision as stored and published."""

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
    source: str | None = None
    user_agent: str | None = None
    delayed_ms: int = 0
    device: bytes | None = None
    """The beginning of a device's id, by which a person tells devices of an account apart."""
    guess: bytes | None = None
    operator: str | None = None
    reason: str | None = None

    @property
    def lost_its_name(self) -> bool:
        """Whether a deletion took the name since, before which its verdict was published."""
        return not self.user and self.kind not in _NAMELESS


class Undecodable(NamedTuple):
    """A record for the quarantine."""

    record: Record
    reason: str
    why: str = UndecodableError.why
    """The same as a word."""


@dataclass
class Batch:
    """All results of some consecutive records, which one commit writes."""

    from_offset: int
    to_offset: int
    last: Record
    policy: Policy | None
    """The policy after the batch; None if there has not been any."""
    new_policies: list[Policy] = field(default_factory=list)
    """Those that came into force in the batch, the last of which is ``policy``."""
    states: dict[str, tuple[LockState, int]] = field(default_factory=dict)
    """Changed states with the offset of the record that set them."""
    audit: list[AuditRow] = field(default_factory=list)
    lists: set[int] = field(default_factory=set)
    """The reply partitions for which every request of the batch can be answered in lists."""
    undecodable: list[Undecodable] = field(default_factory=list)
    deletion: Deleted | None = None
    """Its name is taken out of everything that was committed before this batch."""


def fingerprint(record: Record) -> bytes:
    """Sixteen bytes by which a record is recognised."""
    return hashlib.blake2b(record.value or b"", digest_size=16).digest()


def decode(
    records: Sequence[Record], open_: Callable[[Record], bytes | None] = lambda record: record.value
) -> list[Decoded]:
    """Each record with its message, or with the error if it has none.

    ``open_`` gives the message of a record that may be believed, or raises RefusedError.
    """
    decoded: list[Decoded] = []
    for record in records:
        try:
            decoded.append((record, decode_attempts(open_(record))))
        except UndecodableError as error:
            decoded.append((record, error))
    return decoded


def refuse_misrouted(
    decoded: Sequence[Decoded],
    partition: int,
    partitions: int,
    used: int,
) -> list[Decoded]:
    """The same, with an error in the place of each message that no gateway writes there.

    ``partitions`` is how many the topic has, ``used`` how many of them are in use (0: unknown); by
    these a sender chose that does not say by how many. A request of an account that has another
    partition would break the single writer; one that was addressed by more partitions than there
    are would keep the partition waiting for ever.
    """
    return [(record, _routed(message, partition, partitions, used)) for record, message in decoded]


def _routed(
    message: AttemptsMessage | UndecodableError, partition: int, partitions: int, used: int
) -> AttemptsMessage | UndecodableError:
    if isinstance(message, SetPolicy | UndecodableError):
        return message
    if message.partitions > partitions:
        return UndecodableError(
            f"it was addressed by {message.partitions} partitions, and the topic has {partitions}"
        )
    if isinstance(message, _OF_ACCOUNTS):
        chosen_by = message.partitions or used
        right_one = partition_of(message.user, chosen_by) if chosen_by else partition
        if right_one != partition:
            return UndecodableError(f"its account has partition {right_one}")
    return message


def until_deletion(decoded: Sequence[Decoded]) -> Sequence[Decoded]:
    """The records before the next deletion; with it where it is the first.

    So whatever was decided before a deletion is published, with the name, when that is committed.
    """
    for count, (_, message) in enumerate(decoded):
        if count and isinstance(message, Deleted):
            return decoded[:count]
    return decoded


def users_of(decoded: Sequence[Decoded]) -> set[str]:
    """The accounts whose states a batch needs."""
    return {message.user for _, message in decoded if isinstance(message, _OF_ACCOUNTS)}


def decide(
    from_offset: int,
    decoded: Sequence[Decoded],
    states: Mapping[str, LockState],
    policy: Policy | None,
    layout: int = 0,
    is_repeated: Callable[[bytes, int, int], bool] = lambda _id, _offset, _latest_ms: False,
) -> Batch:
    """Decide these records, which start at ``from_offset``, one after the other.

    ``states`` are the lock states before the batch; an account without one is clean. A request is
    not decided whose id is in this batch already or is one by ``is_repeated``, unless nothing came
    of that one; nor is a record of a smaller layout than the partition's (see
    `workers.partition.repartitioning`). A deletion must be the first of them
    (:func:`until_deletion`).
    """
    last = decoded[-1][0]
    ids: set[bytes] = set()
    singly: set[int] = set()
    latest_ms = 0
    batch = Batch(from_offset, last.offset + 1, last, policy)
    for record, message in decoded:
        if isinstance(message, UndecodableError):
            batch.undecodable.append(Undecodable(record, str(message), message.why))
            continue
        latest_ms = max(latest_ms, record.appended_ms)
        in_lists = isinstance(message, Attempt) and message.lists
        (batch.lists if in_lists else singly).add(message.reply_partition)
        if isinstance(message, SetPolicy):
            # If two hosts propose the first policy, or two commands a new one, the first wins.
            newer = batch.policy is None or message.policy.version > batch.policy.version
            if newer:
                batch.policy = message.policy
                batch.new_policies.append(message.policy)
            batch.audit.append(
                _audit_row(record, message, _TAKEN if newer else _REFUSED, batch.policy)
            )
        elif message.id in ids or is_repeated(message.id, record.offset, latest_ms):
            # Before the layout: of what was decided, no other partition knows.
            batch.audit.append(_audit_row(record, message, _REPEATED, batch.policy))
        elif message.partitions < layout:
            batch.audit.append(_audit_row(record, message, _MOVED, batch.policy))
        elif isinstance(message, SetLayout):
            batch.audit.append(_audit_row(record, message, _TAKEN, batch.policy))
        elif _is_late(record, message):
            batch.audit.append(_audit_row(record, message, _LATE, batch.policy))
        else:
            user = message.user
            current = batch.policy or BEFORE_ANY_POLICY
            before = batch.states[user][0] if user in batch.states else states.get(user, CLEAN)
            if isinstance(message, Attempt):
                ruling = rule_attempt(
                    *(current, before, message.right, record.appended_ms, message.device),
                    told_guesses(message.guess),
                )
            elif isinstance(message, Deleted):
                ruling = rule_deletion(before, record.appended_ms)
                if ruling.decision == Decision.ACCEPTED:
                    batch.deletion = message
            elif isinstance(message, Note):
                ruling = rule_note(before, record.appended_ms)
            elif isinstance(message, Block):
                ruling = rule_block(
                    *(current, before, record.appended_ms, message.length_ms, message.reason)
                )
            else:
                unblocks = isinstance(message, Unblock)
                ruling = rule_clearing(
                    *(before, record.appended_ms),
                    same_password=unblocks,
                    by_operator=unblocks or message.operator is not None,
                )
            if ruling.state != before:
                batch.states[user] = (ruling.state, record.offset)
            batch.audit.append(_audit_row(record, message, ruling, current))
        if batch.audit[-1].decision not in NOTHING_CAME_OF_IT:
            ids.add(message.id)  # as a later batch has it from the audit
    batch.lists -= singly
    return batch


def told_guesses(guess: bytes | None) -> tuple[bytes, ...]:
    """The guess by the gateways' key, and by the former one; never the one that is unknown."""
    said = guess or b""
    parts = (said[at : at + GUESS_BYTES] for at in range(0, len(said), GUESS_BYTES))
    return tuple(part for part in parts if part != UNKNOWN)


def _is_late(record: Record, message: OfAccount) -> bool:
    if isinstance(message, Attempt) and not message.right:
        return False
    return 0 < message.expires_ms < record.appended_ms


def _audit_row(
    record: Record, message: AttemptsMessage, ruling: Ruling, policy: Policy | None
) -> AuditRow:
    right = source = user_agent = device = guess = operator = reason = None
    delayed_ms = 0
    if isinstance(message, Attempt):
        right, source, user_agent = message.right, message.source, message.user_agent
        delayed_ms, guess = message.delayed_ms, message.guess
        device = message.device and message.device[:DEVICE_BYTES]
    else:
        operator, reason = message.operator, message.reason
    return AuditRow(
        appended_ms=record.appended_ms,
        offset=record.offset,
        id=message.id,
        kind=_KINDS[type(message)],
        user=name_of(message),
        right=right,
        decision=ruling.decision,
        until_ms=ruling.until_ms,
        change=ruling.change,
        policy_version=policy.version if policy else 0,
        reply_partition=message.reply_partition,
        source=source,
        user_agent=user_agent,
        delayed_ms=delayed_ms,
        device=device,
        guess=guess,
        operator=operator,
        reason=reason,
    )
