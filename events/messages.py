"""All messages on the topics, and their encoding (MessagePack)."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import Annotated, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

from events.positions import Position

T = TypeVar("T")

FOREVER = 2**63 - 1
"""The end, instead of milliseconds, of a block that only an operator lifts."""


MOST_PARTITIONS = 1024
"""The largest number of partitions; more than any system uses."""

LONGEST_SOURCE = 45
"""Characters of an IP address, the longest of which is an IPv4 one written as IPv6."""

LONGEST_NETWORK = LONGEST_SOURCE + 4
"""Characters of the network of an address, as /128."""

MOST_OUTCOMES = 500
"""In a record on `sources`, which then has less than half of what brokers take."""

MOST_VERDICTS = 500
"""In a record on `verdicts`, which brokers take however long their names are."""

LONGEST_USER_AGENT = 512
"""Characters."""

LONGEST_USER = 256
"""Characters; more than a gateway accepts, and few enough for an index in Postgres."""

LONGEST_REASON = 500
"""Characters of what is said of a record that cannot be read."""

LONGEST_OPERATOR = 64
"""Characters of the name of somebody who changes something."""

LONGEST_WHY = 200
"""Characters of the reason that they give."""

VERDICT_PARTITIONS = 16
"""Partitions of `verdicts`. Each gateway process picks one for its answers; processes that share
one ignore the others' verdicts."""

LATEST_MS = 7_258_118_400_000
"""The year 2200: no epoch and no last moment is later."""

CENTURY_MS = 36_500 * 86_400_000

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
User = Annotated[str, Meta(min_length=1, max_length=LONGEST_USER)]
Source = Annotated[str, Meta(max_length=LONGEST_SOURCE)]
UserAgent = Annotated[str, Meta(max_length=LONGEST_USER_AGENT)]
DeviceId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Guess = Annotated[bytes, Meta(min_length=8, max_length=16)]
OperatorName = Annotated[str, Meta(min_length=1, max_length=LONGEST_OPERATOR)]
Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_WHY)]
Partition = Annotated[int, Meta(ge=0, lt=MOST_PARTITIONS)]
Partitions = Annotated[int, Meta(ge=0, le=MOST_PARTITIONS)]
Moment = Annotated[int, Meta(ge=0, le=LATEST_MS)]
Length = Annotated[int, Meta(ge=0, le=CENTURY_MS)]
BlockEnd = Annotated[int, Meta(ge=0, le=FOREVER)]
Times = Annotated[int, Meta(ge=0, le=10_000)]


class UndecodableError(ValueError):
    """A record's value is not a message of its topic."""

    why = "undecodable"
    """A word for it in the metrics."""


REFUSALS = (
    "unsigned",
    "forged",
    "unknown_key",
    "retired_key",
    "wrong_role",
    "late",
    "early",
    "copy",
)
"""Why a record is not believed, as a word for the metrics."""


class RefusedError(UndecodableError):
    """A record is not believed: its signature is none, another's, or of another place or time."""

    def __init__(self, why: str, sentence: str) -> None:
        """``why`` is one of :data:`REFUSALS`."""
        super().__init__(sentence)
        self.why = why


class Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: a tagged array, the smallest encoding."""


# ---- topic `attempts`: requests to decide, keyed by username --------------------------


class Policy(Struct, frozen=True):
    """When an account is blocked, and for how long.

    ``threshold`` wrong passwords within ``window_ms`` block an account for ``block_ms`` (0: until
    an operator lifts it), twice as long with each further block up to ``block_max_ms``. After
    ``final_failures`` wrong passwords in a row (0: never) only an operator lifts the block.
    An account's wrong passwords and blocks are forgotten once its last wrong password is
    ``forget_ms`` old (0: never) and it is not blocked; sooner where ``forget_each_ms`` times the
    number of its wrong passwords in a row is less (0: not sooner), unless a device guessed, too.
    ``repeated_guesses`` says whether a wrong password counts that still counts from before.
    ``version`` is in the audit row of every decision by this policy.
    """

    version: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    threshold: Annotated[int, Meta(ge=1, le=100)] = 5
    window_ms: Annotated[int, Meta(ge=1, le=86_400_000)] = 900_000
    block_ms: Length = 1_800_000
    block_max_ms: Length = 86_400_000
    final_failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    forget_ms: Length = 31_536_000_000
    repeated_guesses: Literal["count", "ignore"] = "count"
    forget_each_ms: Length = 0


POLICY_LIMITS = {
    name: (hint.__metadata__[0].ge, hint.__metadata__[0].le)
    for name, hint in get_type_hints(Policy, include_extras=True).items()
    if name not in ("version", "repeated_guesses")
}
"""The smallest and the largest number of each part of a policy."""


class Request(Message, frozen=True, array_like=True):
    """Base of the messages on `attempts`: an id, and the partition of `verdicts` for the answer."""

    id: Id
    reply_partition: Annotated[int, Meta(ge=0, lt=VERDICT_PARTITIONS)]


# A request that concerns an account has the number of ``partitions`` by which its sender chose the
# account's one (0: unknown). It is not decided once there are more (the rule is in
# `workers.partition.repartitioning`).


# A request that lets somebody in or clears an account expires: appended after ``expires_ms``, by
# the log's clock, it changes nothing (0: it never expires). Otherwise a late record of a sender
# that gave up and asked again would undo the later one. A wrong password always counts.


class Attempt(Request, frozen=True, array_like=True, tag="attempt"):
    """A login attempt; ``right`` is the outcome of the password check.

    ``source`` is the IP address and ``user_agent`` the program of the person that logs in, where
    its sender says them. ``delayed_ms`` is how long it was delayed for what its source did. They
    decide nothing here: a source is refused before there is an attempt.

    ``lists`` says that its sender reads its verdict in a list with others (:class:`Verdicts`).

    ``device`` is the one by which its sender knows the account's owner (`gateway.devices`); its
    wrong passwords count by themselves. ``guess`` stands for a wrong password, by the gateways' key
    and where there is one by the former key: eight bytes each, by which nobody can try passwords
    without these keys (`gateway.guess_keys`).
    """

    user: User
    right: bool
    partitions: Partitions = 0
    expires_ms: Moment = 0
    source: Source | None = None
    user_agent: UserAgent | None = None
    device: DeviceId | None = None
    guess: Guess | None = None
    delayed_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    lists: bool = False


# What an operator asks for says who did, by the name of the operator's token, and why.


class Registered(Request, frozen=True, array_like=True, tag="registered"):
    """A name was registered: attempts by strangers before that are forgotten."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class Unblock(Request, frozen=True, array_like=True, tag="unblock"):
    """An operator lifts the block of an account and clears its count."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class Block(Request, frozen=True, array_like=True, tag="block"):
    """An operator blocks an account for so long (0: until an operator lifts it), devices too."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None
    length_ms: Length = 0


class PasswordChanged(Request, frozen=True, array_like=True, tag="password"):
    """An account has a new password: what stood against it is lifted."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class Deleted(Request, frozen=True, array_like=True, tag="deleted"):
    """Nothing is kept of a name: no account, no lock state, no decision with the name in it.

    Its account goes if it has this ``version`` or an earlier one (0: it has none), so that a replay
    does not delete one that was made of the name afterwards. While the account is blocked, nothing
    is decided (BLOCKED): the news that it is not blocked any more would have to say the name, also
    when a new owner publishes them again.
    """

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    version: Annotated[int, Meta(ge=0, le=FOREVER)] = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class Disabled(Request, frozen=True, array_like=True, tag="disabled"):
    """An operator has disabled an account. This and the next two decide nothing."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class Enabled(Request, frozen=True, array_like=True, tag="enabled"):
    """An operator has enabled an account again."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class DevicesForgotten(Request, frozen=True, array_like=True, tag="devices"):
    """An operator has let an account's devices be forgotten, and ended its sessions."""

    user: User
    partitions: Partitions = 0
    expires_ms: Moment = 0
    operator: OperatorName | None = None
    reason: Reason | None = None


class SetPolicy(Request, frozen=True, array_like=True, tag="policy"):
    """From this record on, this policy is in force in this partition."""

    policy: Policy
    operator: OperatorName | None = None
    reason: Reason | None = None


class SetLayout(Request, frozen=True, array_like=True, tag="layout"):
    """From this record on, requests whose sender chose by fewer partitions are not decided."""

    partitions: Partitions
    operator: OperatorName | None = None
    reason: Reason | None = None


Note = Disabled | Enabled | DevicesForgotten
"""What was done elsewhere, and stands in the log for who looks at the account."""

OfAccount = Attempt | Registered | Unblock | Block | PasswordChanged | Deleted | Note
"""The requests that concern an account."""

AttemptsMessage = OfAccount | SetPolicy | SetLayout


def name_of(request: Request) -> str:
    """The account's name as the audit has it beside this request, and its verdict.

    Empty where the request concerns no account, and for a deletion, which leaves no name behind.
    """
    if isinstance(request, Deleted) or not isinstance(request, OfAccount):
        return ""
    return request.user


# ---- topic `verdicts`: the answers, in the request's reply partition -------------------


class Decision(IntEnum):
    """The decision on a request; audit rows have the numbers."""

    ACCEPTED = 0
    REJECTED = 1
    BLOCKED = 2
    MOVED = 3
    """Nothing was decided: there are more partitions now than the sender chose by."""
    REPEATED = 4
    """Nothing was decided: a request with the same id is a little earlier in the log.

    Kafka clients that send each record once still write it twice now and then, when a partition
    gets a new leader meanwhile.
    """
    LATE = 5
    """Nothing was decided: the request was appended after the last moment for it."""


class Verdict(Message, frozen=True, array_like=True, tag="verdict"):
    """The decision on the request with this id and user.

    ``until_ms`` is the end of the account's block after this decision (0: not blocked,
    ``FOREVER``: until an operator lifts it), or of the block of the attempt's device. For what
    clears an account, ACCEPTED means that a block was lifted, REJECTED that there was none, and
    BLOCKED that only an operator may end the one that there is.
    ``user`` is that of :func:`name_of`.
    """

    id: Id
    user: str
    decision: Decision
    until_ms: BlockEnd


class Verdicts(Message, frozen=True, array_like=True, tag="verdicts"):
    """The verdicts of one batch for one partition of `verdicts`: one record, signed once."""

    verdicts: Annotated[tuple[Verdict, ...], Meta(max_length=MOST_VERDICTS)]


# ---- topic `blocks`: changes of blocks, for every gateway's blocklist ------------------


class Claimed(Message, frozen=True, array_like=True, tag="claimed"):
    """A partition has a new owner, whose first message this is.

    The partition is not moved before the brokers have it. ``position`` is where the database stood.
    A gateway that knows of later decisions follows a history that the database has lost: it went
    back, as by a restore.
    """

    partition: Partition
    epoch: Moment
    position: Position


# News say in which ``epoch`` they were published (0: they do not say).


class Blocked(Message, frozen=True, array_like=True, tag="blocked"):
    """An account is blocked until ``until_ms`` by the decision at this position."""

    partition: Partition
    position: Position
    user: User
    until_ms: Annotated[int, Meta(ge=1, le=FOREVER)]
    epoch: Moment = 0


class Unblocked(Message, frozen=True, array_like=True, tag="unblocked"):
    """An account is not blocked any more by the decision at this position."""

    partition: Partition
    position: Position
    user: User
    epoch: Moment = 0


class Heartbeat(Message, frozen=True, array_like=True, tag="heartbeat"):
    """The owner of a partition lives; all changes before ``position`` have been published.

    ``partitions`` is the number in use as far as the owner knows; 0: unknown.
    """

    partition: Partition
    epoch: Moment
    position: Position
    partitions: Partitions = 0


BlocksMessage = Claimed | Blocked | Unblocked | Heartbeat


# ---- topic `sources`: what came of logins, for every gateway's limits ------------------


class Outcome(Struct, frozen=True, array_like=True):
    """What came of the logins from one source at one account in a moment.

    ``source`` is the address, or the network that is taken for one source. ``failed`` were wrong,
    ``refused`` cost no hash, as account or source was refused, and one or more ``succeeded`` after
    that. ``registrations`` cost a hash.
    """

    source: Annotated[str, Meta(min_length=1, max_length=LONGEST_NETWORK)]
    user: User
    failed: Times = 0
    refused: Times = 0
    succeeded: bool = False
    registrations: Times = 0


class Outcomes(Message, frozen=True, array_like=True, tag="outcomes"):
    """What one gateway process has seen in a moment."""

    outcomes: Annotated[list[Outcome], Meta(max_length=MOST_OUTCOMES)]


_encoder = msgspec.msgpack.Encoder()
_attempts: msgspec.msgpack.Decoder[AttemptsMessage] = msgspec.msgpack.Decoder(AttemptsMessage)
_verdicts: msgspec.msgpack.Decoder[Verdict | Verdicts] = msgspec.msgpack.Decoder(Verdict | Verdicts)
_blocks: msgspec.msgpack.Decoder[BlocksMessage] = msgspec.msgpack.Decoder(BlocksMessage)
_sources = msgspec.msgpack.Decoder(Outcomes)


def encode(message: Message) -> bytes:
    """The value of the record with this message."""
    return _encoder.encode(message)


def decode_attempts(value: bytes | None) -> AttemptsMessage:
    """The message of a record on `attempts`. Raises :class:`UndecodableError` where it has none."""
    message = _decode(_attempts, value)
    if isinstance(message, Attempt) and message.guess and len(message.guess) % 8:
        # A part of one would be stored as a whole one, and no later attempt could be decided.
        raise UndecodableError(f"its guess has {len(message.guess)} bytes, and not 8 or 16")
    return message


def decode_verdicts(value: bytes | None) -> tuple[Verdict, ...]:
    """What a record on `verdicts` says. Raises :class:`UndecodableError` where it says nothing."""
    message = _decode(_verdicts, value)
    return message.verdicts if isinstance(message, Verdicts) else (message,)


def decode_blocks(value: bytes | None) -> BlocksMessage:
    """The message of a record on `blocks`. Raises :class:`UndecodableError` where it has none."""
    return _decode(_blocks, value)


def decode_sources(value: bytes | None) -> Outcomes:
    """The message of a record on `sources`. Raises :class:`UndecodableError` where it has none."""
    return _decode(_sources, value)


def new_id() -> bytes:
    """A random 128-bit id, which cannot be guessed."""
    return os.urandom(16)


def _decode(decoder: msgspec.msgpack.Decoder[T], value: bytes | None) -> T:
    if value is None:
        raise UndecodableError("the record has no value")
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # It may have a part of the record in it, which is as long as its sender likes.
        raise UndecodableError(str(error)[:LONGEST_REASON]) from None
