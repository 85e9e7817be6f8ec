"""What a terminal and a log show of text that others chose."""

from __future__ import annotations

import sys

import pytest

from processes.escapes import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ángela 中 אבג", "ángela 中 אבג"),
        ("\x1b[2J\x1b]0;owned\a", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\r\nlevel=error", r"a\r\nlevel=error"),
        ("ana\u202egnp.exe", r"ana\u202egnp.exe"),
        ("\u2066ana\u2069\u200b\ufeff", r"\u2066ana\u2069\u200b\ufeff"),
        ("\u2028\x85\x9b2J\x00", r"\u2028\x85\x9b2J\x00"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
    ],
)
def test_what_is_not_printed_is_written_as_its_number(text: str, shown: str) -> None:
    """Letters of every script stay."""
    assert escaped(text) == shown


def test_no_character_of_all_moves_a_cursor_or_turns_the_text() -> None:
    """Whatever Unicode has."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert escaped(every).isprintable()
    assert escaped("a\nb\r\n", keep="\n") == "a\nb\\r\n"
