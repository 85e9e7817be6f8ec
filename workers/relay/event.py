"""The events: what they say, and how decisions of the audit become events. No I/O.

An event has an id that follows from the decision, so one that is published again has the same one.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from events.messages import FOREVER


def described(text: str) -> Meta:
    """What the JSON Schema says of a field."""
    return Meta(description=text)


Moment = Annotated[datetime, Meta(tz=True)]


User = Annotated[str, described("the account's normalized name")]
Operator = Annotated[
    str | None,
    described("which operator asked for it, by the name of their token; null: none did"),
]
Reason = Annotated[str | None, described("why, in the operator's words")]
Request = Annotated[
    str, described("the id of the request, as X-Request-ID and the audit have it, in hexadecimal")
]


class BlockedData(Struct, frozen=True):
    """An account is blocked."""

    user: User
    until: Annotated[
        Moment | None, described("the end of the block; null: until an operator lifts it")
    ]
    cause: Annotated[
        Literal["wrong_passwords", "operator"],
        described("what blocked it: the policy, or a person"),
    ]
    request: Request
    policy_version: Annotated[int, described("the version of the policy that decided")]
    operator: Operator = None
    reason: Reason = None
    source: Annotated[
        str | None,
        described("the IP address of the last wrong password; null: its sender did not say it"),
    ] = None
    user_agent: Annotated[
        str | None, described("the program of the last wrong password, as it calls itself")
    ] = None


class UnblockedData(Struct, frozen=True):
    """A block was lifted before its end."""

    user: User
    cause: Annotated[
        Literal["unblock", "password", "registered"],
        described("what lifted it: an operator, a new password, or that the name was registered"),
    ]
    request: Request
    operator: Operator = None
    reason: Reason = None


class ExpiredData(Struct, frozen=True):
    """A block came to its end by itself."""

    user: User
    since: Annotated[Moment, described("when the block began")]


class PolicyData(Struct, frozen=True):
    """Another policy is in force."""

    version: Annotated[int, described("its version, as `cerrojo policy history` lists it")]
    operator: Operator = None
    reason: Reason = None


class OperatorData(Struct, frozen=True):
    """An operator has logged in at the console."""

    operator: Annotated[str, described("the name of their token")]
    role: Annotated[str, described("what the token lets them do: read, operate or administer")]
    source: Annotated[
        str | None, described("the IP address that the operator port saw; of a proxy, where one is")
    ]


class AttackBeganData(Struct, frozen=True):
    """More accounts fail than may, at all sources together."""

    failed_accounts: Annotated[int, described("the accounts that fail within 15 minutes")]
    succeeded_accounts: Annotated[int, described("those that get in")]
    sources: Annotated[
        list[str], described("the addresses with the most refusals, most first, up to ten")
    ]
    accounts: Annotated[
        list[str], described("the accounts with the most refusals, most first, up to ten")
    ]


class AttackEndedData(Struct, frozen=True):
    """For a minute no more accounts fail than may."""

    since: Annotated[Moment, described("when it began")]
    failed_accounts: Annotated[int, described("the accounts that fail within 15 minutes")]
    succeeded_accounts: Annotated[int, described("those that get in")]


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events have."""

    id: Annotated[
        str, described("the same whenever this event is sent again; by it drop repetitions")
    ]
    timestamp: Annotated[Moment, described("when it happened, by the log's clock")]


class Blocked(Event, frozen=True, tag="account.blocked"):
    """An account is blocked, or its block was replaced by one by hand."""

    data: BlockedData


class Unblocked(Event, frozen=True, tag="account.unblocked"):
    """The block of an account was lifted before its end."""

    data: UnblockedData


class Expired(Event, frozen=True, tag="account.block_expired"):
    """The block of an account came to its end; `timestamp` is that."""

    data: ExpiredData


class PolicyChanged(Event, frozen=True, tag="policy.changed"):
    """Another policy is in force."""

    data: PolicyData


class OperatorLogin(Event, frozen=True, tag="operator.login"):
    """An operator has logged in at the console."""

    data: OperatorData


class AttackBegan(Event, frozen=True, tag="attack.began"):
    """An attack over all sources has begun."""

    data: AttackBeganData


class AttackEnded(Event, frozen=True, tag="attack.ended"):
    """It is over."""

    data: AttackEndedData


OfAccount = Blocked | Unblocked | Expired
Noted = OperatorLogin | AttackBegan | AttackEnded
AnyEvent = OfAccount | PolicyChanged | Noted
KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)
}
"""The kinds of events, by what stands in their `type`."""

_encoder = msgspec.json.Encoder()


class Decided(NamedTuple):
    """A row of the audit of which an event may follow."""

    partition: int
    generation: int
    offset: int
    appended_ms: int
    id: bytes
    kind: str
    user: str
    until_ms: int
    change: int
    policy_version: int
    source: str | None
    user_agent: str | None
    operator: str | None
    reason: str | None


class Note(NamedTuple):
    """What no decision says, as the operator ports have noted it."""

    id: UUID
    at_ms: int
    kind: str
    data: dict[str, Any]


class End(NamedTuple):
    """The end that a block is to have, and the decision that made it."""

    until_ms: int
    since_ms: int
    partition: int
    generation: int
    offset: int


def events_of(row: Decided, ends: MutableMapping[str, End]) -> list[AnyEvent]:
    """The events that follow from this decision, in their order.

    ``ends`` has the ends that are to come, by account, and is brought up to date. Where a block's
    end has passed before this decision, that is the first event: its order is the log's.
    """
    if row.kind == "policy":
        return [_policy_changed(row)]
    if not row.user:  # a deletion took the name, and nothing may say it any more
        return []
    before = ends.pop(row.user, None)
    if row.change < 0:
        return [_unblocked(row)]
    if row.until_ms < FOREVER:
        ends[row.user] = End(
            row.until_ms, row.appended_ms, row.partition, row.generation, row.offset
        )
    if before is not None and before.until_ms <= row.appended_ms:
        return [expired(row.user, before), _blocked(row)]
    return [_blocked(row)]


def event_of(note: Note) -> Noted:
    """The event of what was noted."""
    said = {
        "type": note.kind,
        "id": f"{note.kind.replace('.', '-')}-{note.id}",
        "timestamp": _moment(note.at_ms),
        "data": note.data,
    }
    found: Noted = msgspec.convert(said, Noted)
    return found


def expired(user: str, end: End) -> Expired:
    """The event of a block's end."""
    return Expired(
        id=_id("expired", end.partition, end.generation, end.offset, end.since_ms),
        timestamp=_moment(end.until_ms),
        data=ExpiredData(user, _moment(end.since_ms)),
    )


def encode(event: AnyEvent) -> bytes:
    """The event as JSON."""
    return _encoder.encode(event)


def type_of(event: AnyEvent) -> str:
    """Its kind, as in :data:`KINDS`."""
    return str(event.__struct_config__.tag)


def key_of(event: AnyEvent) -> str | None:
    """The account that it concerns; None where it concerns none."""
    return event.data.user if isinstance(event, OfAccount) else None


def _blocked(row: Decided) -> Blocked:
    return Blocked(
        id=_id("blocked", row.partition, row.generation, row.offset, row.appended_ms),
        timestamp=_moment(row.appended_ms),
        data=BlockedData(
            user=row.user,
            until=_moment(row.until_ms) if row.until_ms < FOREVER else None,
            cause="operator" if row.kind == "block" else "wrong_passwords",
            request=row.id.hex(),
            policy_version=row.policy_version,
            operator=row.operator,
            reason=row.reason,
            source=row.source,
            user_agent=row.user_agent,
        ),
    )


def _unblocked(row: Decided) -> Unblocked:
    return Unblocked(
        id=_id("unblocked", row.partition, row.generation, row.offset, row.appended_ms),
        timestamp=_moment(row.appended_ms),
        data=UnblockedData(
            user=row.user,
            cause=row.kind,  # type: ignore[arg-type]  # no other kind lifts a block
            request=row.id.hex(),
            operator=row.operator,
            reason=row.reason,
        ),
    )


def _policy_changed(row: Decided) -> PolicyChanged:
    return PolicyChanged(
        id=_id("policy", row.partition, row.generation, row.offset, row.appended_ms),
        timestamp=_moment(row.appended_ms),
        data=PolicyData(row.policy_version, row.operator, row.reason),
    )


def _id(kind: str, partition: int, generation: int, offset: int, appended_ms: int) -> str:
    # The time, as positions begin anew with a new log and an empty database.
    return f"{kind}-{partition}-{generation}-{offset}-{appended_ms}"


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
