"""The names, roles and tokens of operators."""

from __future__ import annotations

import pytest

from gateway.operators import Role, check_name, digest_of, new_token


def test_each_role_may_what_the_ones_before_it_may() -> None:
    """In the order in which they are listed."""
    assert [[a.covers(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize("name", ["ana", "Ána at the desk", "x" * 64, "ops@example.org"])
def test_a_name_that_people_can_read_is_one(name: str) -> None:
    """It stands in the audit."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "ana ", "a\nb", "a\0", "x" * 65, "a\u202eb", "a\u2028b"])
def test_another_one_is_refused(name: str) -> None:
    """It could hide another one."""
    with pytest.raises(ValueError, match="is no name"):
        check_name(name)


def test_a_token_has_256_bits_and_is_kept_as_a_hash() -> None:
    """Nobody finds one by trying, nor by what is kept of it."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}
    assert len(digest_of(tokens.pop().encode())) == 32
