"""Which hashes an account may have, in which form, and at what cost."""

from __future__ import annotations

import re

import pytest

from gateway.passwords import hash_formats
from gateway.passwords.hash_formats import UnusableHashError, decoy, form_of, parse, present_form
from gateway.passwords.hashing import Hasher
from settings import Settings
from tests.harness.foreign_accounts import one_of_each

SALT, DIGEST = "c2FsdHNhbHRzYWx0", "ZGlnZXN0ZGlnZXN0ZGlnZXN0ZGlnZXN0"
CHEAP = Settings(argon2_memory_kib=8, argon2_time_cost=1)


@pytest.mark.parametrize("kind", one_of_each())
def test_a_form_is_the_text_up_to_the_salt(kind: str) -> None:
    """The same by the parts and by the text; and what is stored is read again."""
    found = parse(one_of_each()[kind][0])
    assert found.stored.startswith(found.form)
    assert form_of(found.stored) == found.form
    assert parse(found.stored) == found


@pytest.mark.parametrize("kind", one_of_each())
def test_a_decoy_costs_what_its_form_costs_and_is_nobody_s(kind: str) -> None:
    """Each is another one, of which no password is right."""
    given, password = one_of_each()[kind]
    form = parse(given).form
    one, other = decoy(form), decoy(form)
    assert form_of(one) == form_of(other) == form
    assert one != other
    assert not Hasher(CHEAP).verify(one, password)


def test_the_present_form_is_that_of_new_hashes() -> None:
    """Otherwise unknown names would be checked against hashes of old beside those of today."""
    assert form_of(Hasher(CHEAP).hash("correct horse")) == present_form(8, 1, 1)


UNKNOWN = {
    "nothing": "",
    "a password": "correct horse",
    "md5": "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
    "crypt of SHA-512": "$6$salt$" + "a" * 86,
    "a bcrypt with the old mistake": "$2x$05$" + "." * 53,
    "half a bcrypt": "$2b$05$" + "." * 52,
    "a line more": f"$2b$05${'.' * 53}\n",
    "Argon2 with a key": f"$argon2id$v=19$m=64,t=1,p=1,keyid=a${SALT}${DIGEST}",
    "Argon2 without a digest": f"$argon2id$v=19$m=64,t=1,p=1${SALT}$",
    "a cut base 64": f"$argon2id$v=19$m=64,t=1,p=1${SALT}${DIGEST}Z",
    "another alphabet": f"pbkdf2_sha256$1000$salt${'-' * 43}=",
    "Django without a password": "!1234567890123456789012345678901234567890",
    "endless": "$2b$05$" + "." * 10_000,
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_no_hash_is_refused_without_being_shown(kind: str) -> None:
    """It may be a password in the wrong column."""
    with pytest.raises(UnusableHashError) as raised:
        parse(UNKNOWN[kind])
    assert len(UNKNOWN[kind]) < 5 or UNKNOWN[kind] not in str(raised.value)


def argon2(memory: int, passes: int, lanes: int = 1, version: int = 19) -> str:
    """A hash with these costs."""
    return f"$argon2id$v={version}$m={memory},t={passes},p={lanes}${SALT}${DIGEST}"


def scrypt(log_n: int, r: int, p: int) -> str:
    """A hash with these costs."""
    return f"$scrypt$ln={log_n},r={r},p={p}${SALT}${DIGEST}"


def pbkdf2(function: str, iterations: int, length: int) -> str:
    """A hash with these costs."""
    return hash_formats.Pbkdf2(function, iterations, b"salt", bytes(length)).stored


BOUNDS = {
    # The most that is allowed, and a little more.
    "Argon2's memory": (argon2(131_072, 2), argon2(131_073, 1)),
    "Argon2's passes": (argon2(65_536, 4), argon2(65_536, 5)),
    "Argon2's lanes": (argon2(512, 1, 64), argon2(520, 1, 65)),
    "Argon2's least memory": (argon2(32, 1, 4), argon2(31, 1, 4)),
    "Argon2's version": (argon2(64, 1, version=16), argon2(64, 1, version=18)),
    "scrypt's memory": (scrypt(17, 8, 1), scrypt(18, 8, 1)),
    "scrypt's N": (scrypt(15, 1, 1), scrypt(16, 1, 1)),
    "scrypt's p": (scrypt(14, 8, 16), scrypt(14, 8, 17)),
    "PBKDF2's iterations": (pbkdf2("sha256", 2_600_000, 32), pbkdf2("sha256", 2_600_001, 32)),
    "PBKDF2's slow function": (pbkdf2("sha512", 1_300_000, 64), pbkdf2("sha512", 1_300_001, 64)),
    "PBKDF2's blocks": (pbkdf2("sha1", 1_300_000, 64), pbkdf2("sha1", 1_300_001, 64)),
    "bcrypt's cost": ("$2b$13$" + "." * 53, "$2b$14$" + "." * 53),
    "bcrypt's least cost": ("$2b$04$" + "." * 53, "$2b$03$" + "." * 53),
    "the digest's length": (pbkdf2("sha512", 1000, 128), pbkdf2("sha512", 1000, 129)),
    "the digest's least length": (pbkdf2("sha256", 1000, 16), pbkdf2("sha256", 1000, 15)),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_hash_is_no_way_to_make_a_login_take_a_minute(bound: str) -> None:
    """What one more would cost is refused, with its number and its bounds."""
    most, more = BOUNDS[bound]
    assert parse(most).stored == most
    with pytest.raises(UnusableHashError, match=r"\d.*(allowed|known)$") as raised:
        parse(more)
    assert not re.search(rf"{SALT}|{DIGEST}", str(raised.value))


@pytest.mark.parametrize(
    "usual",
    [
        argon2(102_400, 2, 8),  # Django
        argon2(65_536, 3, 4),  # argon2-cffi, and RFC 9106 where memory is short
        argon2(7_168, 5),  # Keycloak
        scrypt(17, 8, 1),  # OWASP
        scrypt(14, 8, 5),  # Django
        pbkdf2("sha256", 1_200_000, 32),  # Django
        pbkdf2("sha256", 600_000, 64),  # Keycloak
        pbkdf2("sha512", 210_000, 64),  # Keycloak
        pbkdf2("sha1", 1_300_000, 64),  # Keycloak
        "$2b$12$" + "." * 53,
    ],
)
def test_what_others_make_by_default_is_within_the_bounds(usual: str) -> None:
    """The bounds keep nobody out who has left the costs as they were."""
    assert parse(usual).stored == usual


def test_what_is_made_here_may_cost_more() -> None:
    """As the settings allow; also where they were others, whose accounts unknown names are like."""
    form = present_form(4_194_304, 100, 1)
    assert form_of(decoy(form)) == form
    assert parse(decoy(form), form).stored.startswith(form)
    with pytest.raises(UnusableHashError):
        parse(decoy(form), present_form(4_194_304, 99, 1))
    with pytest.raises(UnusableHashError):
        decoy(present_form(4_194_305, 1, 1))


@pytest.mark.parametrize(
    "more",
    [
        argon2(4_294_967_295, 4_294_967_295),
        scrypt(9_999_999_999, 8, 1),
        scrypt(31, 9_999_999_999, 9_999_999_999),
        "scrypt$9999999999$salt$8$1$" + "A" * 88,
        "$pbkdf2-sha256$9999999999$AAAA$" + "A" * 43,
        argon2(64, 1, 0),
        argon2(64, 0),
        scrypt(0, 0, 0),
    ],
)
def test_costs_far_beyond_any_are_refused_at_once(more: str) -> None:
    """Nothing is computed with them first."""
    with pytest.raises(UnusableHashError):
        parse(more)
