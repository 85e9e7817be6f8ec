"""Which growth is none that may be."""

from __future__ import annotations

import pytest

from tests.chaos.resource_growth import UNDECIDED, Growth, excess


@pytest.mark.parametrize(
    ("name", "start", "end", "too_much"),
    [
        ("worker partition, threads", 15, 16, False),
        ("worker partition, threads", 15, 300, True),
        ("kafka, descriptors", 164, 198, False),
        ("gateway login, descriptors", 61, 1_000, True),
        ("metric directories", 3, 4, False),
        ("metric directories", 3, 200, True),
        ("kafka, MiB", 100, 900, False),
        (UNDECIDED, 900, 40, False),
        (UNDECIDED, 900, 2_000, True),
    ],
)
def test_what_grows_with_each_login_is_judged(name: str, start: int, end: int, too_much: bool):
    """All but memory."""
    found = excess(Growth({name: start}, {name: end, "of another sort, threads": 9_000}, 1.0))
    assert [sentence.partition(":")[0] for sentence in found] == [name] * too_much
