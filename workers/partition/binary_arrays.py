"""Encodes a batch as the arrays that the SQL function apply_batch() takes, one for each column.

The encoding is done here for whole arrays. psycopg's, element by element, took more of a worker's
time than the decisions [measured: 4.0 us a decision, against 1.3].
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from workers.decision.batch import Batch
from workers.decision.policy import CLEAN, GUESS_BYTES, Device


class AuditField(NamedTuple):
    """Where Postgres has a field of `AuditRow`."""

    parameter: str
    """The parameter of apply_batch()."""
    type: str
    column: str
    """The column of the table `audit`."""


AUDIT = {
    "appended_ms": AuditField("audit_ms", "int8", "appended_ms"),
    "offset": AuditField("audit_offset", "int8", "log_offset"),
    "id": AuditField("audit_id", "bytea", "id"),
    "kind": AuditField("audit_kind", "text", "kind"),
    "user": AuditField("audit_user", "text", "username"),
    "right": AuditField("audit_right", "bool", "right_password"),
    "decision": AuditField("audit_decision", "int2", "decision"),
    "until_ms": AuditField("audit_until_ms", "int8", "until_ms"),
    "change": AuditField("audit_change", "int2", "change"),
    "policy_version": AuditField("audit_policy", "int4", "policy_version"),
    "reply_partition": AuditField("audit_reply", "int4", "reply_partition"),
    "source": AuditField("audit_source", "text", "source"),
    "user_agent": AuditField("audit_user_agent", "text", "user_agent"),
    "delayed_ms": AuditField("audit_delayed_ms", "int4", "delayed_ms"),
    "device": AuditField("audit_device", "bytea", "device"),
    "guess": AuditField("audit_guess", "bytea", "guess"),
    "operator": AuditField("audit_operator", "text", "operator"),
    "reason": AuditField("audit_reason", "text", "reason"),
}
"""The fields of an audit row in their order. All writes and reads follow it."""

AUDIT_COLUMNS = ", ".join(f"{kept.column} AS {field}" for field, kept in AUDIT.items())
"""The select list that gives the fields of `AuditRow` under their own names."""

_AUDIT_TYPES = {kept.parameter: kept.type for kept in AUDIT.values()}

_STATE_TYPES = {
    "state_username": "text",
    "state_failures_ms": "text",
    "state_in_a_row": "int4",
    "state_blocks": "int4",
    "state_since_ms": "int8",
    "state_until_ms": "int8",
    "state_why": "text",
    "state_last_ms": "int8",
    "state_forget_ms": "int8",
    "state_by_hand": "bool",
    "state_guesses": "bytea",
    "state_devices": "text",
    "state_offset": "int8",
}

_UNDECODABLE_TYPES = {
    "bad_offset": "int8",
    "bad_ms": "int8",
    "bad_key": "bytea",
    "bad_value": "bytea",
    "bad_reason": "text",
}

_ARRAYS = _STATE_TYPES | _AUDIT_TYPES | {"audit_salt": "bytea"} | _UNDECODABLE_TYPES

APPLY = (
    "SELECT apply_batch(%s, %s, %s, %s, %s, %s, %s, %s, {},"
    " seal => %b, seal_first_ms => %s, seal_last_ms => %s, seal_digest => %b)"
).format(", ".join(f"{parameter} => %b::{type_}[]" for parameter, type_ in _ARRAYS.items()))
"""Calls apply_batch() with its scalars, with the arrays of :func:`batch_columns`, with the seal.

psycopg keeps a query as it has parsed it if it has at most 50 parameters.
"""

APPLY_WITH_DELETION = APPLY.removesuffix(")") + ", deleted_user => %s, deleted_version => %s)"
"""The same with the name and version of a deletion."""

_HEADER = struct.Struct(">iiIii").pack  # dimensions, has nulls, elements' type, length, first index
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)


class BinaryArray:
    """An array in Postgres' binary format."""

    __slots__ = ("data",)

    def __init__(self, type_: str, values: Sequence[Any]) -> None:
        """`type_` is the elements' type. Raises psycopg.DataError where it cannot hold a value."""
        encode = _ENCODERS[type_]
        try:
            elements = [_NULL if value is None else encode(value) for value in values]
        except struct.error as error:
            raise psycopg.DataError(f"a value is no {type_}: {error}") from None
        oid = psycopg.adapters.types[type_].oid
        self.data = _HEADER(1, 1, oid, len(elements), 1) + b"".join(elements)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(BinaryArray, _ColumnDumper)


def batch_columns(batch: Batch, salts: Sequence[bytes]) -> list[BinaryArray]:
    """The changed lock states, the audit rows and the undecodable records, as columns.

    ``salts`` has one for each audit row.
    """
    states = [
        (
            user,
            # Postgres' nested arrays must be rectangular, so each of these is cast on its own.
            "{" + ",".join(map(str, state.failures_ms)) + "}" if state != CLEAN else None,
            *state[1:-2],
            b"".join(state.guesses) or None,
            devices_to_json(state.devices) if state.devices else None,
            offset,
        )
        for user, (state, offset) in batch.states.items()
    ]
    undecodable = [
        (r.offset, r.appended_ms, r.key, r.value, reason) for r, reason, _ in batch.undecodable
    ]
    return [
        *_columns(states, _STATE_TYPES.values()),
        *_columns(batch.audit, _AUDIT_TYPES.values()),
        BinaryArray("bytea", salts),
        *_columns(undecodable, _UNDECODABLE_TYPES.values()),
    ]


def guesses_of(stored: bytes | None) -> tuple[bytes, ...]:
    """The guesses of a stored state."""
    stored = stored or b""
    return tuple(stored[at : at + GUESS_BYTES] for at in range(0, len(stored), GUESS_BYTES))


class _StoredDevice(NamedTuple):
    """A device as Postgres has it, in JSON, for people to read."""

    device: str
    failures: int
    until_ms: int | None
    guesses: list[str]


def devices_to_json(devices: Sequence[Device]) -> str:
    """The text for Postgres."""
    return json.dumps(
        [
            _StoredDevice(
                *(each.id.hex(), each.failures, each.until_ms),
                [guess.hex() for guess in each.guesses],
            )._asdict()
            for each in devices
        ]
    )


def devices_of(stored: Sequence[Mapping[str, Any]] | None) -> tuple[Device, ...]:
    """The devices of a stored state, from the JSON in it."""
    found = (_StoredDevice(**each) for each in stored or ())
    return tuple(
        Device(
            *(bytes.fromhex(device), failures, until_ms),
            tuple(bytes.fromhex(guess) for guess in guesses),
        )
        for device, failures, until_ms, guesses in found
    )


def _columns(rows: Sequence[Sequence[Any]], types: Collection[str]) -> list[BinaryArray]:
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return [BinaryArray(type_, values) for type_, values in zip(types, columns, strict=True)]


def _sized(format_: str) -> Callable[[Any], bytes]:
    """An encoder that puts a value's length before the value."""
    pack, size = struct.Struct(">i" + format_).pack, struct.calcsize(">" + format_)
    return lambda value: pack(size, value)


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _text(value: str) -> bytes:
    return _bytes(value.encode())


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "int2": _sized("h"),
    "int4": _sized("i"),
    "int8": _sized("q"),
    "bool": _sized("?"),
    "bytea": _bytes,
    "text": _text,
}
