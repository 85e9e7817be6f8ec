"""The envelope around each message: which key signed it, when, and the signature.

A signature is a keyed BLAKE2b of 16 bytes over the topic, the partition, the record's key, all of
the envelope and the message; so a record is worth nothing in any other place. The key's role says
which kinds of messages it may sign. An envelope begins with a byte that no MessagePack begins with,
so a record is never taken for the other sort.

It also has a stamp. That of a gateway's or an operator's request is the log's time, as far as it
was known, and the request is believed for a short time only: a copy that somebody appends later is
refused. One that comes earlier is known by its id (`workers.partition.deduplication`). The stamp of
news is their number among those of their owner (`gateway.blocklist.copies`). Elsewhere it is 0,
as nothing depends on a record being new: a policy or layout is in force again only if it is newer,
and a verdict is for whoever waits for its id.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from confluent_kafka import Message

from events.messages import RefusedError
from events.signing_keys import KeyFile, Role

FIRST_BYTE = 0xC1
"""MessagePack never uses it."""

_HEAD = Struct(">B4sQ")  # the first byte, the key's id, the stamp
_MAC_BYTES = 16
_BODY_AT = _HEAD.size + _MAC_BYTES

_NO_KEY = b"\xff\xff"
"""In the place of a key's length. So nothing signs a key that is so long, and none is believed."""

_KINDS: dict[Role, tuple[str, ...]] = {
    "gateway": ("attempt", "registered", "password", "outcomes"),
    "operator": (
        *("registered", "password", "unblock", "block", "deleted"),
        *("disabled", "enabled", "devices"),
    ),
    "policy": ("policy", "layout"),
    "worker": ("verdict", "verdicts", "claimed", "blocked", "unblocked", "heartbeat", "seal"),
}
"""The kinds of messages that each role may sign."""

_TAGS = {
    role: frozenset(bytes([0xA0 + len(kind)]) + kind.encode() for kind in kinds)
    for role, kinds in _KINDS.items()
}
"""The same, as MessagePack has a message's first element."""

_PASSES = frozenset({"gateway", "operator"})
"""The roles whose messages are believed for a time only."""

LATE_MS = 20_000
"""The log may get a record so long after it was signed. A gateway gives a record up before."""

EARLY_MS = 5_000
"""... or so long before, where the clocks of brokers differ. Both together are less than the time
for which a worker knows an id: beyond that, no copy of a record is believed."""


class Sealer:
    """Signs the messages of one topic."""

    def __init__(self, keys: KeyFile | None, topic: str) -> None:
        """Without keys, messages stay as they are."""
        self._keys = keys
        self._topic = topic
        self._bases = _Bases(topic)

    def seal(
        self, role: Role, body: bytes, partition: int, key: bytes | None = None, stamp: int = 0
    ) -> bytes:
        """The record's value. The stamp of a request is the log's time in milliseconds, at most."""
        if self._keys is None:
            return body
        signing = self._keys.current().signing[role]
        head = _HEAD.pack(FIRST_BYTE, bytes.fromhex(signing.id), stamp)
        mac = self._bases.of(head[1:5], signing.secret, partition).copy()
        mac.update(_signed(head, key, body))
        return head + mac.digest() + body


class Checked(NamedTuple):
    """What is in the envelope of a record."""

    body: bytes | None
    role: Role | None
    """None: it is not signed, or was not checked."""
    stamp: int


class Opener:
    """Checks the records of one topic."""

    def __init__(
        self,
        keys: KeyFile | None,
        topic: str,
        unsigned_until_ms: int = 0,
        on_unsigned: Callable[[], object] = lambda: None,
    ) -> None:
        """Without keys nothing is checked.

        A record without a signature is believed if its append time is before
        ``unsigned_until_ms``, and ``on_unsigned`` called.
        """
        self._keys = keys
        self._unsigned_until_ms = unsigned_until_ms
        self._on_unsigned = on_unsigned
        self._bases = _Bases(topic)

    def open(
        self, partition: int, key: bytes | None, value: bytes | None, appended_ms: int
    ) -> bytes | None:
        """The message of a record, which may be believed. Raises :class:`RefusedError`."""
        body, role, signed_ms = self.check(partition, key, value, appended_ms)
        if role in _PASSES and not -EARLY_MS <= appended_ms - signed_ms <= LATE_MS:
            seconds = (appended_ms - signed_ms) / 1000
            late = seconds > 0
            raise RefusedError(
                "late" if late else "early",
                f"the log got it {abs(seconds):.1f} s {'after' if late else 'before'} the time in "
                "its signature: it is a copy, or was held up, or the brokers' clocks differ",
            )
        return body

    def open_record(self, record: Message) -> bytes | None:
        """The same of a record as a consumer has it."""
        partition, (_, appended_ms) = record.partition(), record.timestamp()
        return self.open(partition or 0, record.key(), record.value(), appended_ms)

    def check(
        self, partition: int, key: bytes | None, value: bytes | None, appended_ms: int
    ) -> Checked:
        """The same whatever time has passed, with the role that signed it, and the stamp."""
        if self._keys is not None and key is not None and len(key) >= 0xFFFF:
            raise RefusedError("forged", f"its key has {len(key)} bytes, which no signature covers")
        if not value or value[0] != FIRST_BYTE:
            if self._keys is not None:
                if appended_ms >= self._unsigned_until_ms:
                    raise RefusedError("unsigned", "it has no signature")
                self._on_unsigned()
            return Checked(value, None, 0)
        if len(value) < _BODY_AT:
            raise RefusedError("forged", "its envelope is cut off")
        head, body = value[: _HEAD.size], value[_BODY_AT:]
        _, key_id, stamp = _HEAD.unpack(head)
        if self._keys is None:
            return Checked(body, None, stamp)
        signing = self._keys.find(key_id)
        if signing is None:
            raise RefusedError(
                "unknown_key", f"it is signed by the key {key_id.hex()}, unknown here"
            )
        mac = self._bases.of(key_id, signing.secret, partition).copy()
        mac.update(_signed(head, key, body))
        if not hmac.compare_digest(mac.digest(), value[_HEAD.size : _BODY_AT]):
            raise RefusedError(
                "forged",
                "its signature is not of this message in this place: it was altered or moved",
            )
        if 0 < signing.until_ms < appended_ms:
            raise RefusedError("retired_key", f"it is signed by the retired key {signing.id}")
        if kind_of(body) not in _TAGS[signing.role]:
            raise RefusedError(
                "wrong_role", f"a key of the role {signing.role} may not sign such a message"
            )
        return Checked(body, signing.role, stamp)


class _Bases:
    """What all MACs by one key for one partition begin with; to be copied, which is cheaper."""

    def __init__(self, topic: str) -> None:
        self._topic = topic.encode()
        self._known: dict[tuple[bytes, str, int], blake2b] = {}

    def of(self, key_id: bytes, secret: str, partition: int) -> blake2b:
        found = self._known.get((key_id, secret, partition))
        if found is None:
            found = blake2b(
                _field(self._topic) + partition.to_bytes(4, "big"),
                key=bytes.fromhex(secret),
                digest_size=_MAC_BYTES,
                person=b"cerrojo record 1",
            )
            self._known[key_id, secret, partition] = found
        return found


def kind_of(body: bytes) -> bytes:
    """The kind of a message, as MessagePack has it: the first element of its array."""
    return body[1 : 2 + (body[1] & 0x1F)] if len(body) > 1 else b""


def role_of(body: bytes) -> Role | None:
    """The first role that may sign such a message; None where none may."""
    kind = kind_of(body)
    return next((role for role, tags in _TAGS.items() if kind in tags), None)


def _signed(head: bytes, key: bytes | None, body: bytes) -> bytes:
    return head + (_NO_KEY if key is None else _field(key)) + body


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value
