"""Passwords that everybody uses are not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import CommonPasswordError
from gateway.passwords import common_passwords
from gateway.passwords.common_passwords import BUILTIN_FILE, LINES_MAX, CommonPasswords, load
from local.common_passwords import content, passwords
from settings import SettingsError


def refused(listed: CommonPasswords, password: str, user: str = "ana") -> bool:
    """Whether this account may not set it."""
    try:
        listed.refuse(user, password)
    except CommonPasswordError as error:
        return password not in str(error)
    return False


def test_the_builtin_list_is_what_its_sources_have() -> None:
    """`python -m local.common_passwords` makes it anew after an update of one of them."""
    assert BUILTIN_FILE.read_bytes() == content()
    listed = load("builtin")
    assert len(listed) == 16_293  # as docs/import.md says
    assert all(password in listed for password in passwords())


@pytest.mark.parametrize(
    "password", ["password1", "PASSWORD1", "iloveyou", "qwertyuiop", "12345678"]
)
def test_common_ones_are_refused_in_any_case(password: str) -> None:
    """They are guessed first."""
    assert refused(load("builtin"), password)


@pytest.mark.parametrize(
    "password", ["correct horse", "password1 ", "my password1", "a1b2c3 d4e5f6"]
)
def test_a_whole_password_is_compared(password: str) -> None:
    """A part of it may be common, as the standard has it."""
    assert not refused(load("builtin"), password)


def test_the_name_is_no_password() -> None:
    """Nor what stands before its @, in any case."""
    listed = load("builtin")
    assert refused(listed, "Ana.Smith@Example.com", "ana.smith@example.com")
    assert refused(listed, "Ana.Smith", "ana.smith@example.com")
    assert not refused(listed, "ana.smith", "ana.smith.2@example.com")


def test_nothing_is_refused_where_it_is_off() -> None:
    """That is a choice."""
    assert not refused(load("off"), "password1")
    assert not refused(load("off"), "ana.smith", "ana.smith")


def test_a_file_has_a_password_in_each_line(tmp_path: Path) -> None:
    """With any line ends, a byte-order mark, short ones and such as are no UTF-8."""
    path = tmp_path / "list"
    lines = [
        b"\xef\xbb\xbfhunter22hunter\r",
        b"short",
        b"",
        "L\N{LATIN CAPITAL LETTER O WITH DIAERESIS}SUNGSWORT".encode(),
        b"\xff" * 8,
        b"last one no end",
    ]
    path.write_bytes(b"\n".join(lines))
    listed = load(str(path))
    assert len(listed) == 3
    for password in (
        "Hunter22hunter",
        "l\N{LATIN SMALL LETTER O WITH DIAERESIS}sungswort",
        "last one no end",
    ):
        assert refused(listed, password)
    assert not refused(listed, "password1")
    decomposed = "lo\N{COMBINING DIAERESIS}sungswort"
    assert decomposed in listed


def test_a_file_that_cannot_be_used_says_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and not at the first registration."""
    with pytest.raises(SettingsError, match=r"CERROJO_COMMON_PASSWORDS is .*builtin or off"):
        load(str(tmp_path / "missing"))
    assert LINES_MAX == 1_000_000
    monkeypatch.setattr(common_passwords, "LINES_MAX", 2)
    path = tmp_path / "list"
    path.write_text("one password\ntwo passwords\n")
    assert len(load(str(path))) == 2
    path.write_text("one password\ntwo passwords\nthree passwords\n")
    with pytest.raises(SettingsError, match="more than 2 lines"):
        load(str(path))
