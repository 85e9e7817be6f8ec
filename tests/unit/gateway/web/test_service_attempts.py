"""A service's request becomes an attempt, or a sentence that says what is wrong."""

from __future__ import annotations

import json

import pytest

from gateway.errors import InvalidInputError
from gateway.web.service_attempts import key_of, parse


def body(**members: object) -> bytes:
    """A body with these members besides."""
    return json.dumps({"user": "ANA", "outcome": "right", **members}).encode()


def test_an_attempt() -> None:
    """The user is in its one form; source and user agent may be missing or null."""
    for found in (parse(body()), parse(body(source=None, user_agent=None))):
        assert found == ("ana", True, None, None)
    assert parse(body(outcome="wrong"))[1] is False


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
    ],
)
def test_an_address_has_one_form(source: str, form: str) -> None:
    """So that what comes from one address looks so."""
    assert parse(body(source=source)).source == form


@pytest.mark.parametrize(
    "source", ["", "local", "192.0.2.7/32", "192.0.2", "fe80::1%eth0", "٣.1.1.1"]
)
def test_what_is_no_address_is_refused(source: str) -> None:
    """400, and the sentence says what it must be."""
    with pytest.raises(InvalidInputError, match="source must be an IP address"):
        parse(body(source=source))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
        ("", ""),
        ("a\0b\x1bc\x85\u2028", "a\ufffdb\ufffdc\ufffd\ufffd"),
    ],
)
def test_a_user_agent_is_kept_as_a_person_may_look_at_it(sent: str, kept: str) -> None:
    """A guesser chooses it, so it refuses nothing; Postgres could not hold a NUL."""
    assert parse(body(user_agent=sent)).user_agent == kept


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"{", "The body is not JSON in UTF-8"),
        (b"[]", 'The body must be an object with "user" and "outcome"'),
        (b'{"user":"ana"}', 'The body has no "outcome"'),
        (body(user=7), "user must be a string"),
        (body(outcome="secret"), 'outcome must be "right" or "wrong"'),
        (body(source=7), "source must be a string"),
        (body(user_agent="a" * 513), "user_agent must be a string of at most 512 characters"),
        (
            body(secret=7),
            'The body has a field besides "user", "outcome", "source" and "user_agent"',
        ),
    ],
)
def test_what_is_no_attempt_is_refused(sent: bytes, sentence: str) -> None:
    """The sentence repeats nothing that was sent."""
    with pytest.raises(InvalidInputError) as refused:
        parse(sent)
    assert str(refused.value) == sentence


def test_a_key_is_visible_ascii() -> None:
    """Or there is none."""
    assert key_of(None) is None
    for key in (b"k", b"!~" * 127, b'"0b1e7a"'):
        assert key_of(key) == key
    for key in (b"", b"a key", b"k" * 256, b"k\xc3", b"k\t", b"\x7f"):
        with pytest.raises(InvalidInputError, match="1 to 255 visible ASCII characters"):
            key_of(key)
