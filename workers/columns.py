"""A batch as the arrays that the SQL function apply_batch() takes, a column each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workers.batch import AuditRow, Batch
from workers.policy import CLEAN

# The types that unnest() needs, in the order of the function's parameters.
_STATE_TYPES = ("text", "text", "int", "int", "bigint", "bigint", "text", "bigint", "bigint")
_AUDIT_TYPES = (
    *("bigint", "bigint", "bytea", "text", "text", "boolean"),
    *("smallint", "bigint", "smallint", "int", "int"),
)
_UNDECODABLE_TYPES = ("bigint", "bigint", "bytea", "bytea", "text")

APPLY = "SELECT apply_batch(%s, %s, %s, %s, %s, %s, %s, %s, {})".format(
    ", ".join(f"%b::{t}[]" for t in _STATE_TYPES + _AUDIT_TYPES + _UNDECODABLE_TYPES)
)


def state_columns(batch: Batch) -> list[list[Any]]:
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
    return _columns(rows, len(_STATE_TYPES))


def audit_columns(audit: Sequence[AuditRow]) -> list[list[Any]]:
    """The decisions."""
    return _columns(audit, len(_AUDIT_TYPES))


def undecodable_columns(batch: Batch) -> list[list[Any]]:
    """The records for the quarantine."""
    rows = [(r.offset, r.appended_ms, r.key, r.value, why) for r, why in batch.undecodable]
    return _columns(rows, len(_UNDECODABLE_TYPES))


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
