"""A seal is of its rows as they were written, and of nothing else."""

from __future__ import annotations

from hashlib import blake2b, sha256
from struct import pack

import msgspec
import pytest

from events.messages import Policy
from oracle import seals
from oracle.seals import POLICY_FIELDS, Row
from tests.harness.decided import Decided, decided, log_of

OTHER = Row(
    *(9, 9, b"9", "other", "other", None, 9, 9, 9, 9, 9, "198.51.100.9", "other", 9),
    *(b"9" * 16, b"9" * 8, b"9" * 16, "other", "other"),
)
"""No field is that of a row."""


@pytest.fixture
def batch() -> Decided:
    """Six rows, one of them of a device, and one of an operator."""
    steps = [(1, "wrong 7", name) for name in ("anna", "ben", "anna on 1", "anna")]
    return decided(log_of([*steps, (1, "unblock", "anna")]), 6)[0]


def test_rows_as_they_were_written_have_the_digest_of_their_seal(batch: Decided) -> None:
    """By two programs that share no code."""
    assert len(batch.rows) == batch.seal.rows == 6
    assert seals.content(batch.rows) == batch.seal.content


@pytest.mark.parametrize("field", Row._fields)
def test_no_field_can_be_another_one(batch: Decided, field: str) -> None:
    """Nor empty."""
    at = 5 if field in ("operator", "reason") else 3
    for other in (getattr(OTHER, field), None):
        rows = list(batch.rows)
        rows[at] = rows[at]._replace(**{field: other})
        assert seals.content(rows) != batch.seal.content


def test_no_row_can_be_missing_another_one_or_in_another_place(batch: Decided) -> None:
    """Whichever it is."""
    for index, row in enumerate(batch.rows):
        without = [*batch.rows[:index], *batch.rows[index + 1 :]]
        assert seals.content(without) != batch.seal.content
        assert seals.content([*batch.rows[:index], row, *batch.rows[index:]]) != batch.seal.content
    assert seals.content(batch.rows[::-1]) != batch.seal.content


def test_a_name_can_be_taken_out_and_the_seal_holds(batch: Decided) -> None:
    """As a deletion does it. Taken out in another way, or with something left, it does not."""
    row = batch.rows[3]
    assert row.salt is not None
    assert row.device is not None
    assert row.guess is not None
    said = row.salt + pack(">5i", 4, 9, 4, 4, 8) + b"anna192.0.2.7curl" + row.device + row.guess
    taken = row._replace(
        **dict.fromkeys(("source", "user_agent", "device", "guess")),
        user="",
        salt=sha256(said).digest(),
    )
    assert taken.lost_its_name
    rows = list(batch.rows)
    for wrong in (taken._replace(user="ben"), taken._replace(salt=row.salt)):
        rows[3] = wrong
        assert seals.content(rows) != batch.seal.content
    rows[3] = taken
    assert seals.content(rows) == batch.seal.content


def test_a_reason_is_taken_out_with_the_name_and_the_operator_stays(batch: Decided) -> None:
    """It may say something of the person; who did it is another one."""
    row = batch.rows[5]
    assert row.salt is not None
    assert (row.operator, row.reason) == ("ana", "she called")
    said = row.salt + pack(">6i", 4, -1, -1, -1, -1, 10) + b"annashe called"
    rows = list(batch.rows)
    rows[5] = row._replace(user="", reason=None, salt=sha256(said).digest())
    assert seals.content(rows) == batch.seal.content
    rows[5] = rows[5]._replace(operator=None)
    assert seals.content(rows) != batch.seal.content


def test_a_row_from_before_there_were_operators_has_its_digest_still() -> None:
    """As it was written by the version before this one."""
    row = Row(
        *(7, 1_000, b"i" * 16, "unblock", "anna", None, 1, 0, 0, 1, 3, None, None, 0, None, None),
        b"s" * 16,
    )
    person = sha256(b"s" * 16 + pack(">5i", 4, -1, -1, -1, -1) + b"anna").digest()
    fields = [[1_000, 7, b"i" * 16, "unblock", None, 1, 0, 0, 1, 3, 0, person]]
    assert seals.content([row]) == blake2b(msgspec.msgpack.encode(fields), digest_size=32).digest()


def test_two_rows_that_say_the_same_of_a_person_do_not_look_the_same(batch: Decided) -> None:
    """Else a name that was taken out could be looked up by another row's."""
    assert len({row.salt for row in batch.rows}) == len(batch.rows)


def test_every_field_of_a_policy_is_known() -> None:
    """A field that is added to the policy has to be added to the list."""
    assert Policy.__struct_fields__ == POLICY_FIELDS


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"junk",
        msgspec.msgpack.encode(["seal", 1]),
        msgspec.msgpack.encode(["s", *"x" * 11]),
    ],
)
def test_what_is_no_seal_is_said_to_be_none(body: bytes | None) -> None:
    """Somebody's bytes in the table."""
    with pytest.raises(ValueError, match="no seal"):
        seals.read(body)


@pytest.mark.parametrize(
    "policy", [[], [1] * 6, ["1", *[1] * 8], [1, 5, 1, 1, 1, 1, "none", "count"]]
)
def test_a_policy_that_is_none_is_not_replayed(batch: Decided, policy: list[int | str]) -> None:
    """It may only be of somebody that wrote it by hand."""
    with pytest.raises(ValueError, match="a policy that is none"):
        seals.read(msgspec.msgpack.encode(batch.seal._replace(policy_fields=[policy])))
