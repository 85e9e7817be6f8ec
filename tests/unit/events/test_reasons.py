"""A reason is taken as people type it, and what cannot be shown is named."""

from __future__ import annotations

import pytest

from events.messages import LONGEST_WHY
from events.reasons import checked_reason


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("the phone is stolen", "the phone is stolen"),
        (" l'été : 10\u202f000\u00a0€\tvolés\u3000", "l'été : 10 000 € volés"),
        ("two\nlines", "two lines"),
        ("☎️ 7", "☎️ 7"),
        ("a" * LONGEST_WHY + " ", "a" * LONGEST_WHY),
        (" \u00a0", None),
        ("", None),
    ],
)
def test_any_space_is_a_space(typed: str, taken: str | None) -> None:
    """As editors and keyboards put it in, unasked."""
    assert checked_reason(typed) == taken


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("a" * (LONGEST_WHY + 1), "must have at most 200 characters, and has 201"),
        (
            "👩\u200d💻 called",
            "has U+200D (ZERO WIDTH JOINER), which cannot be shown. Leave it out",
        ),
        ("red \x1b[31m", "has U+001B, which cannot be shown. Leave it out"),
    ],
)
def test_what_is_refused_is_named(typed: str, why: str) -> None:
    """Nobody sees which character it is."""
    with pytest.raises(ValueError, match=r"^") as refused:
        checked_reason(typed)
    assert str(refused.value) == why
