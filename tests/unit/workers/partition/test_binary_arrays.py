"""A column is what psycopg would have made of the same values."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg._queries import MAX_CACHED_STATEMENT_PARAMS
from psycopg.adapt import Transformer
from psycopg.pq import Format

from workers.decision.batch import AuditRow
from workers.partition.binary_arrays import APPLY, AUDIT, BinaryArray

SORTS: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "bytea": st.binary(max_size=20),
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
}


@pytest.mark.parametrize("type_", SORTS)
@given(data=st.data())
def test_it_is_read_as_what_it_was_made_of(type_: str, data: st.DataObject) -> None:
    """Nulls, none at all and the largest ones among them."""
    values = data.draw(st.lists(st.none() | SORTS[type_], max_size=9))
    oid = psycopg.adapters.types[type_].array_oid
    read = Transformer().get_loader(oid, Format.BINARY).load(BinaryArray(type_, values).data)
    assert read == values


@pytest.mark.parametrize(("type_", "value"), [("int2", 2**15), ("int4", 2**31), ("int8", 2**63)])
def test_what_no_column_holds_is_refused_as_postgres_would(type_: str, value: int) -> None:
    """By the error that puts a record into quarantine."""
    with pytest.raises(psycopg.DataError, match=f"no {type_}"):
        BinaryArray(type_, [value])


def test_every_field_of_an_audit_row_is_kept() -> None:
    """A field that is added to the row and not to the table would be lost, or shift the others."""
    assert tuple(AUDIT) == AuditRow._fields


def test_psycopg_keeps_the_query_as_it_has_parsed_it() -> None:
    """It does for so many parameters; with more, each batch would parse them again."""
    assert APPLY.count("%") <= MAX_CACHED_STATEMENT_PARAMS
