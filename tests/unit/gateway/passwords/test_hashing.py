"""The fate of stored hashes, good and bad."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import error_to_str

from gateway.passwords.hash_protocol import BadHashError
from gateway.passwords.hashing import Hasher, NoMemoryError
from settings import Settings

PASSWORD = "correct horse"
CHEAP = Settings(argon2_memory_kib=8, argon2_time_cost=1, hash_threads=1)
GOOD = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(
    PASSWORD,
    salt=b"always the same!",  # of some, one character less is a hash, too
)
OUT_OF_MEMORY = -22  # ARGON2_MEMORY_ALLOCATION_ERROR


@pytest.fixture
def hasher() -> Hasher:
    """One that is as cheap as argon2 allows."""
    return Hasher(CHEAP)


def watch(hasher: Hasher, error: Exception | None = None) -> list[str]:
    """The hashes that are checked from now on; with an error, that comes of it."""
    real, seen = hasher._argon2, list[str]()

    def verify(stored: str, password: str | bytes) -> bool:
        seen.append(stored)
        if error:
            raise error
        return real.verify(stored, password)

    vars(hasher)["_argon2"] = SimpleNamespace(verify=verify)
    return seen


BAD = {
    "nothing": "",
    "a password": "a good password",
    "half a bcrypt": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMU",
    "half": GOOD[:40],
    "one short": GOOD[:-1],
    "no memory": GOOD.replace("m=8", "m=4"),
    "no passes": GOOD.replace("t=1", "t=0"),
    "not ASCII": "\N{LATIN SMALL LETTER A WITH DIAERESIS}" + GOOD,
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_hash_costs_what_others_cost(hasher: Hasher, kind: str) -> None:
    """One whole check, as where there is no account; and nothing of it is in what is said."""
    stored, seen = BAD[kind], watch(hasher)
    with pytest.raises(BadHashError) as raised:
        hasher.verify(stored, PASSWORD)
    assert seen in ([stored, hasher._nobodys], [hasher._nobodys])
    assert not stored or stored not in str(raised.value)
    seen.clear()
    assert not hasher.verify(None, PASSWORD)
    assert seen == [hasher._nobodys]


def test_a_good_hash_is_checked_once(hasher: Hasher) -> None:
    """Right or wrong."""
    seen = watch(hasher)
    assert hasher.verify(GOOD, PASSWORD)
    assert not hasher.verify(GOOD, "a wrong password")
    assert seen == [GOOD, GOOD]


def test_a_machine_without_memory_makes_no_hash_bad(hasher: Hasher) -> None:
    """Otherwise right passwords would count as wrong ones there."""
    watch(hasher, VerificationError(error_to_str(OUT_OF_MEMORY)))
    with pytest.raises(NoMemoryError):
        hasher.verify(GOOD, PASSWORD)


KEY, OTHER_KEY = "a " + "0" * 64, "b " + "1" * 64


def peppered(file: Path, *lines: str) -> Hasher:
    """One with these keys."""
    file.write_text("\n".join(lines))
    return Hasher(Settings(argon2_memory_kib=8, argon2_time_cost=1, pepper_file=file))


def test_a_hash_with_a_pepper_is_of_no_use_without_it(hasher: Hasher, tmp_path: Path) -> None:
    """What Argon2 made is no hash of the password itself, nor of it with another key."""
    stored = peppered(tmp_path / "a", KEY).hash(PASSWORD)
    assert stored.startswith("$pepper$a$argon2id$")
    assert peppered(tmp_path / "a", KEY).verify(stored, PASSWORD)
    assert not peppered(tmp_path / "a", KEY).verify(stored, "a wrong password")
    assert not peppered(tmp_path / "a", "a " + "1" * 64).verify(stored, PASSWORD)
    assert not hasher.verify(stored.removeprefix("$pepper$a"), PASSWORD)


def test_a_key_that_is_missing_makes_a_bad_hash(hasher: Hasher, tmp_path: Path) -> None:
    """It costs a whole check, as any; and what is said names the key and the setting."""
    stored = peppered(tmp_path / "a", KEY).hash(PASSWORD)
    for one in (hasher, peppered(tmp_path / "b", OTHER_KEY)):
        seen = watch(one)
        with pytest.raises(BadHashError, match=r"the key 'a', which CERROJO_PEPPER_FILE does not"):
            one.verify(stored, PASSWORD)
        assert len(seen) == 1
        assert one._nobodys.endswith(seen[0])


def test_a_hash_is_renewed_until_it_has_the_newest_pepper(hasher: Hasher, tmp_path: Path) -> None:
    """Those without one and those with an older one still check, and are outdated."""
    with_a = peppered(tmp_path / "a", KEY).hash(PASSWORD)
    rotated = peppered(tmp_path / "both", OTHER_KEY, KEY)
    for stored in (GOOD, with_a):
        assert rotated.verify(stored, PASSWORD)
        assert rotated.is_outdated(stored)
    newest = rotated.hash(PASSWORD)
    assert newest.startswith("$pepper$b$")
    assert not rotated.is_outdated(newest)
    assert not hasher.is_outdated(hasher.hash(PASSWORD))
    back = peppered(tmp_path / "back", "none", OTHER_KEY)
    assert back.verify(newest, PASSWORD)
    assert back.is_outdated(newest)
    assert not back.is_outdated(GOOD)
    dearer = Settings(argon2_memory_kib=16, argon2_time_cost=1, pepper_file=tmp_path / "both")
    assert Hasher(dearer).is_outdated(newest)


def test_nobody_s_hash_is_as_those_of_accounts_are(tmp_path: Path) -> None:
    """With the pepper, so that both are checked in the same way."""
    assert peppered(tmp_path / "a", KEY)._nobodys.startswith("$pepper$a$")
