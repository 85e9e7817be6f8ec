"""The messages of login processes and hash processes, over Unix sockets of the gateway's own.

Each frame is the length of a message in four bytes, and the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeVar

import msgspec

T = TypeVar("T")

HASH_SOCKETS = "CERROJO_HASH_SOCKETS"
"""The environment variable with the directory of the hash processes' sockets, named by lane."""

HASH_LISTENER = "CERROJO_HASH_LISTENER"
"""The environment variable with a hash process's file descriptor of its listening socket."""


HASH_BY = 0.75
"""The share of the deadline after which no hash begins; the rest is for the hash and its verdict.

Without it an overload spends most hashes on answers that come too late [measured: 24 logins a
second were accepted under ten times the load where the peak was 62]."""


class BadHashError(Exception):
    """A stored hash is none that a password could be checked against."""


class BadFrameError(Exception):
    """Something that came is no frame with a message; nothing behind it can be read."""


class Lane(StrEnum):
    """The two hash processes of a host."""

    FOREGROUND = "foreground"
    """For requests whose account has no other in hand."""
    BACKGROUND = "background"
    """For the others, and for strangers in an attack: it lets everything else go first."""


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """`number` is the sender's for its request, which the answer repeats."""

    number: int


class Check(_Message, frozen=True, array_like=True, tag="check"):
    """Is this the password of this hash? None: one of the present form that is no account's."""

    account: str
    until: float
    """When it is too late to begin, on the monotonic clock, which all processes of a host share."""
    stored: str | None
    password: str
    source: str = ""
    """From where the request comes; its turn is among those of this source."""

    def __repr__(self) -> str:
        """Without the password, for a log that gets it by mistake."""
        return f"Check({self.number})"


class Make(_Message, frozen=True, array_like=True, tag="make"):
    """Make a hash of this password."""

    account: str
    until: float
    password: str
    source: str = ""

    def __repr__(self) -> str:
        """Without the password, for a log that gets it by mistake."""
        return f"Make({self.number})"


class Withdraw(_Message, frozen=True, array_like=True, tag="withdraw"):
    """Drop this request if it has not begun; the answer is then :class:`Dropped`."""


HashRequest = Check | Make | Withdraw


class Checked(_Message, frozen=True, array_like=True, tag="checked"):
    """Whether it is the password, and what the check took."""

    right: bool
    outdated: bool
    """Whether the settings are other ones now than when the hash was made."""
    seconds: float


class Made(_Message, frozen=True, array_like=True, tag="made"):
    """The hash, and what it took."""

    password_hash: str
    seconds: float


class BadHash(_Message, frozen=True, array_like=True, tag="bad"):
    """The stored hash is none that a password could be checked against."""

    reason: str
    seconds: float


class NoMemory(_Message, frozen=True, array_like=True, tag="memory"):
    """This machine has no memory or no thread left for a hash."""


class Dropped(_Message, frozen=True, array_like=True, tag="dropped"):
    """It was withdrawn, or too late, before it began."""


HashAnswer = Checked | Made | BadHash | NoMemory | Dropped

_LENGTH_BYTES = 4

FRAME_MAX = 65_536
"""Bytes of a message. A request's body has a quarter of that at most; without a limit, four bytes
would let whoever sends them fill this process's memory."""

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[HashRequest] = msgspec.msgpack.Decoder(HashRequest)
_answers: msgspec.msgpack.Decoder[HashAnswer] = msgspec.msgpack.Decoder(HashAnswer)


def frame(message: HashRequest | HashAnswer) -> bytes:
    """The frame of this message."""
    encoded = _encoder.encode(message)
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


class Frames:
    """Puts together what arrives in pieces."""

    def __init__(self) -> None:
        self._data = bytearray()

    def requests(self, data: bytes) -> Iterator[HashRequest]:
        """The requests that are whole by now. Raises BadFrameError."""
        return self._messages(_requests, data)

    def answers(self, data: bytes) -> Iterator[HashAnswer]:
        """The answers that are whole by now. Raises BadFrameError."""
        return self._messages(_answers, data)

    def _messages(self, decoder: msgspec.msgpack.Decoder[T], data: bytes) -> Iterator[T]:
        for message in self._whole(data):
            try:
                yield decoder.decode(message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadFrameError(str(error)) from None

    def _whole(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        while len(self._data) >= _LENGTH_BYTES:
            length = int.from_bytes(self._data[:_LENGTH_BYTES], "big")
            if length > FRAME_MAX:
                raise BadFrameError(f"a frame of {length} bytes is longer than any message")
            end = _LENGTH_BYTES + length
            if len(self._data) < end:
                return
            message = bytes(self._data[_LENGTH_BYTES:end])
            del self._data[:end]
            yield message
