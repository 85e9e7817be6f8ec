"""A batch as the arrays that the SQL function apply_batch() takes, a column each.

They are encoded here, whole: element by element, as psycopg does it, took more of a worker's time
than deciding them [measured: 4.0 us a decision, against 1.3].
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from workers.batch import AuditRow, Batch
from workers.policy import CLEAN

# The types that unnest() needs, in the order of the function's parameters.
_STATE_TYPES = ("text", "text", "int4", "int4", "int8", "int8", "text", "int8", "int8")
_AUDIT_TYPES = (
    *("int8", "int8", "bytea", "text", "text", "bool"),
    *("int2", "int8", "int2", "int4", "int4"),
)
_UNDECODABLE_TYPES = ("int8", "int8", "bytea", "bytea", "text")

APPLY = "SELECT apply_batch(%s, %s, %s, %s, %s, %s, %s, %s, {})".format(
    ", ".join(f"%b::{t}[]" for t in _STATE_TYPES + _AUDIT_TYPES + _UNDECODABLE_TYPES)
)

_HEADER = struct.Struct(">iiIii").pack  # dimensions, has nulls, elements' type, length, first index
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)


class Column:
    """An array in Postgres' binary format."""

    __slots__ = ("data",)

    def __init__(self, type_: str, values: Sequence[Any]) -> None:
        """`type_` is its elements' type. psycopg.DataError for a value that none of it can have."""
        encode = _ENCODERS[type_]
        try:
            elements = [_NULL if value is None else encode(value) for value in values]
        except struct.error as error:
            raise psycopg.DataError(f"a value is no {type_}: {error}") from None
        oid = psycopg.adapters.types[type_].oid
        self.data = _HEADER(1, 1, oid, len(elements), 1) + b"".join(elements)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(Column, _ColumnDumper)


def state_columns(batch: Batch) -> list[Column]:
    """The changed lock states."""
    rows = [
        (
            user,
            # An array of arrays would have to be rectangular; these are cast one by one.
            "{" + ",".join(map(str, state.failures_ms)) + "}" if state != CLEAN else None,
            *state[1:],
            offset,
        )
        for user, (state, offset) in batch.states.items()
    ]
    return _columns(rows, _STATE_TYPES)


def audit_columns(audit: Sequence[AuditRow]) -> list[Column]:
    """The decisions."""
    return _columns(audit, _AUDIT_TYPES)


def undecodable_columns(batch: Batch) -> list[Column]:
    """The records for the quarantine."""
    rows = [(r.offset, r.appended_ms, r.key, r.value, why) for r, why in batch.undecodable]
    return _columns(rows, _UNDECODABLE_TYPES)


def _columns(rows: Sequence[Sequence[Any]], types: Sequence[str]) -> list[Column]:
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return [Column(type_, values) for type_, values in zip(types, columns, strict=True)]


def _sized(format_: str) -> Callable[[Any], bytes]:
    """Encodes a value with its length before it."""
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
