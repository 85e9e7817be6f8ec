"""Every message on the topics, and the one encoding of all of them (MessagePack)."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TypeVar

import msgspec
from msgspec import Struct

from events.positions import Position

T = TypeVar("T")

FOREVER = 2**63 - 1
"""The end of a block that only an operator lifts, in the place of milliseconds."""


MOST_PARTITIONS = 1024
"""More partitions than anybody uses."""

LONGEST_USER = 256
"""Characters; more than a gateway lets through, and few enough for an index in Postgres."""

VERDICT_PARTITIONS = 16
"""Each gateway process picks one of `verdicts` for its answers; some share and ignore the rest."""


class UndecodableError(ValueError):
    """A record's value is none of the messages of its topic."""


class Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: a tagged array, as small as can be."""


# ---- topic `attempts`: what is to be decided, keyed by username -----------------------


class Policy(Struct, frozen=True):
    """When an account is blocked, and for how long.

    ``threshold`` wrong passwords within ``window_ms`` block for ``block_ms`` (0: until an
    operator lifts it), twice as long with each further block up to ``block_max_ms``. After
    ``final_failures`` wrong ones in a row (0: never) only an operator lifts the block.
    What an account has against it counts no more once its last wrong password is ``forget_ms``
    old (0: always counts) and no block stands.
    ``version`` stands in the audit row of everything that was decided by this policy.
    """

    version: int = 0
    threshold: int = 5
    window_ms: int = 900_000
    block_ms: int = 1_800_000
    block_max_ms: int = 86_400_000
    final_failures: int = 100
    forget_ms: int = 31_536_000_000


class Request(Message, frozen=True, array_like=True):
    """What every message on `attempts` has: its id, and where its verdict is awaited."""

    id: bytes
    reply_partition: int


# What concerns an account says by how many ``partitions`` its sender found the account's one
# (0: it does not say). It is not decided once there are more (see `workers.layout`).


class Attempt(Request, frozen=True, array_like=True, tag="attempt"):
    """Somebody tried to log in; ``right`` is what the check of the password said."""

    user: str
    right: bool
    partitions: int = 0


class Registered(Request, frozen=True, array_like=True, tag="registered"):
    """A name has an owner now: what strangers did to it before is forgotten."""

    user: str
    partitions: int = 0


class Unblock(Request, frozen=True, array_like=True, tag="unblock"):
    """An operator lifts the block of an account and clears its count."""

    user: str
    partitions: int = 0


class SetPolicy(Request, frozen=True, array_like=True, tag="policy"):
    """From this record on, this policy decides in this partition."""

    policy: Policy


class SetLayout(Request, frozen=True, array_like=True, tag="layout"):
    """From this record on, nothing is decided whose sender reckoned with fewer partitions."""

    partitions: int


AttemptsMessage = Attempt | Registered | Unblock | SetPolicy | SetLayout


# ---- topic `verdicts`: the answers, to the reply partition of who asked ----------------


class Decision(IntEnum):
    """What the log decided; the numbers stand in the audit rows."""

    ACCEPTED = 0
    REJECTED = 1
    BLOCKED = 2
    MOVED = 3
    """Nothing was decided: there are more partitions now than the sender reckoned with."""
    REPEATED = 4
    """Nothing was decided: the same request, by its id, stands a little earlier in the log.

    Clients of Kafka that send each record once write it twice all the same, now and then, where
    a partition gets a new leader meanwhile.
    """


class Verdict(Message, frozen=True, array_like=True, tag="verdict"):
    """The decision on the request with this id and user.

    ``until_ms`` is the end of the account's block after this decision (0: not blocked,
    ``FOREVER``: until an operator lifts it). For `Unblock`, ACCEPTED says that there was a
    block to lift and REJECTED that there was none.
    """

    id: bytes
    user: str
    decision: Decision
    until_ms: int


# ---- topic `blocks`: the news for every gateway's view ---------------------------------


class Blocked(Message, frozen=True, array_like=True, tag="blocked"):
    """An account is blocked until ``until_ms``, decided at this position."""

    partition: int
    position: Position
    user: str
    until_ms: int


class Unblocked(Message, frozen=True, array_like=True, tag="unblocked"):
    """An account is not blocked any more, decided at this position."""

    partition: int
    position: Position
    user: str


class Heartbeat(Message, frozen=True, array_like=True, tag="heartbeat"):
    """The owner of a partition lives; all news before ``position`` has been published.

    ``partitions`` are in use, as far as it knows; 0: it does not say.
    """

    partition: int
    epoch: int
    position: Position
    partitions: int = 0


BlocksMessage = Blocked | Unblocked | Heartbeat

_encoder = msgspec.msgpack.Encoder()
_attempts: msgspec.msgpack.Decoder[AttemptsMessage] = msgspec.msgpack.Decoder(AttemptsMessage)
_verdicts = msgspec.msgpack.Decoder(Verdict)
_blocks: msgspec.msgpack.Decoder[BlocksMessage] = msgspec.msgpack.Decoder(BlocksMessage)


def encode(message: Message) -> bytes:
    """The value of a record that carries this message."""
    return _encoder.encode(message)


def decode_attempts(value: bytes | None) -> AttemptsMessage:
    """What a record on `attempts` says, or :class:`UndecodableError`."""
    message = _decode(_attempts, value)
    if len(message.id) != 16:
        raise UndecodableError(f"the id has {len(message.id)} bytes instead of 16")
    if not 0 <= message.reply_partition < VERDICT_PARTITIONS:
        raise UndecodableError(f"there is no reply partition {message.reply_partition}")
    if isinstance(message, SetPolicy):
        return message
    if not 0 <= message.partitions <= MOST_PARTITIONS:
        raise UndecodableError(f"there are never {message.partitions} partitions")
    if not isinstance(message, SetLayout) and not 0 < len(message.user) <= LONGEST_USER:
        raise UndecodableError(f"the user has {len(message.user)} characters")
    return message


def decode_verdict(value: bytes | None) -> Verdict:
    """What a record on `verdicts` says, or :class:`UndecodableError`."""
    return _decode(_verdicts, value)


def decode_blocks(value: bytes | None) -> BlocksMessage:
    """What a record on `blocks` says, or :class:`UndecodableError`."""
    return _decode(_blocks, value)


def new_id() -> bytes:
    """A random 128-bit id, which nobody can guess."""
    return os.urandom(16)


def _decode(decoder: msgspec.msgpack.Decoder[T], value: bytes | None) -> T:
    if value is None:
        raise UndecodableError("the record has no value")
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError(str(error)) from None
