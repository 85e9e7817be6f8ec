"""The file of the keys that sign device cookies."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.device_keys import drop_key, new_key, parse, sign_with

KEY, OTHER = "ab" * 32, "cd" * 32


def test_a_new_key_signs_and_the_former_ones_verify(tmp_path: Path) -> None:
    """So no device becomes unknown; with `last` it waits until every gateway knows it."""
    file = tmp_path / "keys"
    (first,) = new_key(file)
    second, _ = new_key(file)
    *_, third = new_key(file, last=True)
    assert list(parse(file.read_bytes())) == [second, first, third]
    assert list(sign_with(file, third.hex())) == [third, second, first]
    assert list(drop_key(file, second.hex())) == [third, first]
    assert list(parse(file.read_bytes())) == [third, first]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "it has no key"),
        ("# nothing\n", "it has no key"),
        (KEY[1:], "line 1 is no key: 64 digits in hex"),
        (f"{KEY}\n{OTHER} and more", "line 2 is no key: 64 digits in hex"),
        (f"{KEY}\n\n{KEY}", "line 3 has the id of another key"),
        ("\udcff", "line 1 is no key: 64 digits in hex"),
    ],
)
def test_a_file_in_which_one_key_is_bad_is_refused_whole(content: str, sentence: str) -> None:
    """Passing over the first key would let another one sign; and no error shows a key."""
    with pytest.raises(ValueError, match=rf"^{sentence}$"):
        parse(content.encode("utf-8", "surrogateescape"))


def test_a_key_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    """And the last one stays: without any, no device would be known."""
    file = tmp_path / "keys"
    (first,) = new_key(file)
    before = file.read_bytes()
    for change, key_id, sentence in (
        (drop_key, "00000000", "it has no key 00000000"),
        (sign_with, "", "it has no key "),
        (drop_key, first.hex(), "it has no key"),
    ):
        with pytest.raises(ValueError, match=sentence):
            change(file, key_id)
    assert file.read_bytes() == before
