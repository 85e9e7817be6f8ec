"""Usernames and passwords have one form each."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from precis_i18n import get_profile

from gateway.errors import BadRequestError
from gateway.profiles import PASSWORD_MAX, USER_MAX, password, username

PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789._@+-"
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@given(st.text(PLAIN, min_size=3, max_size=USER_MAX))
def test_plain_usernames_are_as_precis_has_them(name: str) -> None:
    """The short way of a plain name gives what the profile gives."""
    assert username(name) == get_profile("UsernameCaseMapped").enforce(name) == name


@given(st.text(PRINTABLE, min_size=8, max_size=100))
def test_plain_passwords_are_as_precis_has_them(secret: str) -> None:
    """The short way of a plain password gives what the profile gives."""
    assert password(secret) == get_profile("OpaqueString").enforce(secret) == secret


@given(st.text(min_size=3, max_size=30))
@example("ΑΣΣ")
@example("ǰa\u0301bc")
def test_a_name_in_its_one_form_stays_as_it_is(name: str) -> None:
    """What was put into its one form is in it."""
    try:
        once = username(name)
    except BadRequestError:
        return
    assert username(once) == once


@given(st.text(min_size=8, max_size=30))
def test_a_password_in_its_one_form_stays_as_it_is(secret: str) -> None:
    """What was put into its one form is in it."""
    try:
        once = password(secret)
    except BadRequestError:
        return
    assert password(once) == once


@pytest.mark.parametrize("name", ["José", "JOSÉ", "Jose\u0301", "\uff2a\uff4f\uff53\uff45\u0301"])
def test_forms_and_cases_of_a_name_are_one(name: str) -> None:
    """Composed, decomposed, fullwidth and capital letters name one account."""
    assert username(name) == "josé"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "user is empty"),
        ("ab", "user must have 3 to 64 characters"),
        ("a" * 65, "user must have 3 to 64 characters"),
        ("a\u0301" * 129, "user must have 3 to 64 characters"),
        ("a\0bc", "user contains a control character"),
        ("a\x1fbc", "user contains a control character"),
        ("a bc", "user contains a space"),
        ("ana😀", "user contains a character that is not allowed"),
        ("ana\u200b", "user contains a character that is not allowed"),
        ("אבa", "user mixes writing directions"),
    ],
)
def test_names_that_are_none(name: str, reason: str) -> None:
    """Each is refused with what is wrong about it."""
    with pytest.raises(BadRequestError) as refused:
        username(name)
    assert str(refused.value) == reason


def test_the_length_of_a_name_is_that_of_its_one_form() -> None:
    """A name that is too long before it is composed may be short enough after."""
    assert username("e\u0301" * USER_MAX) == "é" * USER_MAX


@pytest.mark.parametrize(
    "secret",
    [
        "seven77",
        "x" * (PASSWORD_MAX + 1),
        "€" * 342,
        "pass\0word",
        "pass\x07word",
        "pass\x7fword",
        "",
    ],
)
def test_passwords_that_are_none_are_not_repeated(secret: str) -> None:
    """The refusal says nothing of the password, nor does what caused it."""
    with pytest.raises(BadRequestError) as refused:
        password(secret)
    assert not secret or secret not in str(refused.value)
    assert refused.value.__context__ is None


def test_the_longest_passwords() -> None:
    """1,024 bytes are allowed, in whatever characters, and however they were composed."""
    assert password("x" * PASSWORD_MAX) == "x" * PASSWORD_MAX
    assert password("e\u0301" * 512) == "é" * 512
