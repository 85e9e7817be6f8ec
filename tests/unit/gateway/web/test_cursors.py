"""Cursors: where a page of a list ends."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidInputError
from gateway.web.cursors import Number, Text, after, cursor

DECODER = msgspec.msgpack.Decoder(tuple[Number, Text])


@pytest.mark.parametrize(
    "place", [(0, "ana"), (-1, ""), (1_795_858_200_125, "\U00010400" * 254), (2**53, "a/b")]
)
def test_a_place_comes_back(place: tuple[int, str]) -> None:
    """As text that needs no encoding in an address."""
    text = cursor(place)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert after({"after": text}, DECODER) == place


def test_the_first_page_has_none() -> None:
    """It begins at the beginning."""
    assert after({}, DECODER) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "ana", "\u00e9", "?", "====", "k88AAAGdC-ZdAAER"),
        *(cursor((1, "a\0b")), cursor((2**60, "ana")), cursor((1, 2)), cursor([1, "ana", 3])),
        cursor((1, "a" * 1017)),
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    """It is the client's mistake, and nothing that Postgres gets to see."""
    with pytest.raises(InvalidInputError, match="after must be what `next`"):
        after({"after": text}, DECODER)
