"""The keys that passwords are mixed with."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from gateway.passwords import pepper
from gateway.passwords.hash_protocol import BadHashError
from gateway.passwords.pepper import Peppers, Stored, load
from settings import SettingsError

SECRET = "c0ffee" + 58 * "0"
OTHER = "decade" + 58 * "1"


def test_a_file_has_keys_and_the_first_is_for_new_hashes(tmp_path: Path) -> None:
    """All of them are for hashes that there are; comments and empty lines say nothing."""
    file = tmp_path / "peppers"
    file.write_text(f"# peppers\n\n2026.b {SECRET.upper()}  # since March\n 2025-a\t{OTHER}\n")
    peppers = load(file)
    assert peppers.newest == "2026.b"
    for name, key in (("2026.b", SECRET), ("2025-a", OTHER)):
        expected = hmac.new(bytes.fromhex(key), "p\u00e4ss".encode(), hashlib.sha256).digest()
        assert peppers.mix(name, "p\u00e4ss") == expected


def test_a_key_may_be_known_before_it_is_used(tmp_path: Path) -> None:
    """So all gateways can learn of a system's first one, and of its last one's end."""
    file = tmp_path / "peppers"
    file.write_text(f"# not yet\nnone  # until Monday\na {SECRET}\n")
    peppers = load(file)
    assert peppers.newest is None
    assert peppers.mark("$argon2id$x") == "$argon2id$x"
    assert peppers.mix("a", "a password") != "a password"


def test_without_a_file_nothing_is_mixed() -> None:
    """And a new hash is marked with nothing."""
    peppers = load(None)
    assert peppers.mix(None, "a password") == "a password"
    assert peppers.mark("$argon2id$x") == "$argon2id$x"
    with pytest.raises(BadHashError):
        peppers.mix("a", "a password")


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        ("", "has no key"),
        ("# nothing", "has no key"),
        ("none", "has no key"),
        (f"a {SECRET}\nnone", "line 2 is not a name and a key"),
        (SECRET, "line 1 is not a name and a key"),
        (f"a {SECRET}\nb {OTHER[:-1]}", "line 2 is not a name and a key"),
        (f"a {SECRET}\nb {OTHER}0", "line 2 is not a name and a key"),
        (f"a$b {SECRET}", "line 1 is not a name and a key"),
        (f"{33 * 'a'} {SECRET}", "line 1 is not a name and a key"),
        (f"a {SECRET}\na {OTHER}", "line 2 has a name that was there before"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str, trouble: str) -> None:
    """With the setting, the line and the command, and with nothing that stands in it."""
    file = tmp_path / "peppers"
    file.write_text(content)
    with pytest.raises(SettingsError, match=trouble) as refused:
        load(file)
    said = str(refused.value)
    assert said.startswith(f"CERROJO_PEPPER_FILE is {str(file)!r}")
    assert "cerrojo keys pepper NAME" in said
    assert not any(secret[:8] in said for secret in (SECRET, OTHER))


def test_a_file_that_is_away_is_refused(tmp_path: Path) -> None:
    """Hashes without a pepper would be made else, and nobody would know."""
    with pytest.raises(SettingsError, match=r"cannot be read: No such file"):
        load(tmp_path / "nothing")


def test_keys_are_not_shown() -> None:
    """Whatever prints this by mistake."""
    peppers = Peppers({"a": b"the secret"}, "a")
    assert "secret" not in f"{peppers} {peppers!r}"
    with pytest.raises(BadHashError) as raised:
        peppers.mix("b", "the password")
    assert "secret" not in str(raised.value)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(
    ("stored", "parts"),
    [
        ("$pepper$a.1-_$argon2id$v=19$x", Stored("a.1-_", "$argon2id$v=19$x")),
        ("$argon2id$v=19$x", Stored(None, "$argon2id$v=19$x")),
        ("$pepper$a", Stored(None, "$pepper$a")),
        ("$pepper$$argon2id$x", Stored(None, "$pepper$$argon2id$x")),
        ("x$pepper$a$argon2id$x", Stored(None, "x$pepper$a$argon2id$x")),
    ],
)
def test_a_stored_hash_says_which_key_it_was(stored: str, parts: Stored) -> None:
    """What is not of this form has none, and Argon2 says that it is bad."""
    assert Stored.of(stored) == parts


def test_a_new_line_is_one_of_the_file(tmp_path: Path) -> None:
    """Another key each time."""
    one, other = (pepper.new_line("2026") for _ in range(2))
    assert one != other
    (tmp_path / "peppers").write_text(one)
    assert load(tmp_path / "peppers").newest == "2026"
    with pytest.raises(ValueError, match="letters, digits"):
        pepper.new_line("a name")
