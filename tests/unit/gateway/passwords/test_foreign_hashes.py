"""Passwords are right and wrong here as they were in the system that made their hashes."""

from __future__ import annotations

import subprocess
import sys

import bcrypt
import pytest

from gateway.accounts import keycloak
from gateway.passwords import foreign_hashes
from gateway.passwords.hash_formats import Argon2, parse
from gateway.passwords.hash_protocol import BadHashError
from gateway.passwords.hashing import Hasher, NoMemoryError
from settings import Settings
from tests.harness.foreign_accounts import KEYCLOAK, PASSWORD, django, one_of_each
from tests.paths import PROJECT

HASHER = Hasher(Settings(argon2_memory_kib=8, argon2_time_cost=1))


@pytest.mark.parametrize("kind", one_of_each())
def test_the_password_of_another_system_is_right(kind: str) -> None:
    """And no other one; and the hash is to be replaced."""
    given, password = one_of_each()[kind]
    stored = parse(given).stored
    assert HASHER.verify(stored, password)
    assert not HASHER.verify(stored, f"{password}.")
    assert not HASHER.verify(stored, "")
    assert HASHER.is_outdated(stored)


@pytest.mark.parametrize("kind", KEYCLOAK)
def test_the_password_of_keycloak_is_right(kind: str) -> None:
    """By the two texts that Keycloak has of it."""
    found = KEYCLOAK[kind]
    stored = keycloak.stored("ana", found.credential_data, found.secret_data)
    assert HASHER.verify(stored, found.password)
    assert not HASHER.verify(stored, f"{found.password}.")


def test_bcrypt_looks_at_72_bytes_as_everywhere() -> None:
    """The library refuses more, and so would their owners be, who could log in elsewhere."""
    password = "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 40
    stored = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    assert HASHER.verify(stored, password)
    assert HASHER.verify(stored, password + "!")
    assert not HASHER.verify(stored, "!" + password)


def test_django_s_bcrypt_of_sha_256_looks_at_all() -> None:
    """That is what it is for."""
    stored = parse(django("bcrypt_sha256", "a" * 100)).stored
    assert HASHER.verify(stored, "a" * 100)
    assert not HASHER.verify(stored, "a" * 101)


def test_what_bcrypt_s_base64_has_beyond_its_bytes_is_nothing() -> None:
    """Other programs leave something there, and let in all the same."""
    good = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + b"." * 22).decode()
    assert good[28] == "."
    odd = good[:28] + "/" + good[29:]  # of the last character of the salt, two bits count
    assert HASHER.verify(parse(odd).stored, PASSWORD)


@pytest.mark.parametrize("stored", ["pbkdf2_sha256$1$a$b", "argon2$argon2id$v=19$m=8,t=1,p=1$a$b"])
def test_a_hash_that_was_stored_by_hand_is_a_bad_one(stored: str) -> None:
    """It costs what others cost, and its owner cannot log in."""
    with pytest.raises(BadHashError):
        HASHER.verify(stored, PASSWORD)


def test_a_machine_without_memory_makes_no_hash_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise right passwords would count as wrong ones there."""

    def short(*_: object, **__: object) -> bytes:
        raise ValueError("[digital envelope routines] memory limit exceeded")

    stored = parse(django("scrypt")).stored
    monkeypatch.setattr(foreign_hashes.hashlib, "scrypt", short)
    with pytest.raises(NoMemoryError):
        HASHER.verify(stored, PASSWORD)


def test_what_openssl_refuses_is_no_hash() -> None:
    """It would seem that the machine has no memory, at each login of its account."""
    assert not HASHER.verify("$scrypt$ln=15,r=1,p=1$c2FsdA$" + "A" * 43, PASSWORD)
    with pytest.raises(BadHashError, match="ln; 1 to 15 are allowed"):
        HASHER.verify("$scrypt$ln=16,r=1,p=1$c2FsdA$" + "A" * 43, PASSWORD)


def test_who_has_no_such_hash_pays_nothing_for_it() -> None:
    """Two hash processes on each host would each have the library."""
    script = (
        "import sys, settings\n"
        "from gateway.passwords.hashing import Hasher\n"
        "hasher = Hasher(settings.Settings(argon2_memory_kib=8, argon2_time_cost=1))\n"
        "hasher.verify(hasher.hash('correct horse'), 'correct horse')\n"
        "assert 'bcrypt' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True)


def test_argon2_itself_is_not_foreign() -> None:
    """It is checked by the fastest build."""
    assert isinstance(parse(HASHER.hash(PASSWORD)), Argon2)
