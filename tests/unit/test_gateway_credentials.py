"""A request's body becomes credentials, or a sentence that says what is wrong."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials import Credentials, parse
from gateway.errors import BadRequestError

CANARY = "canary-7f3a-canary"


def refusal(body: bytes) -> str:
    """What is said about this body, which must not be credentials."""
    with pytest.raises(BadRequestError) as refused:
        parse(body)
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_credentials() -> None:
    """The user is in its one form, and the password is what was sent."""
    found = parse(b'{"user":"ANA","pass":"correct horse"}')
    assert (found.user, found.pass_) == ("ana", "correct horse")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is not JSON in UTF-8"),
        (b"user=ana", "The body is not JSON in UTF-8"),
        (b'{"user":"ana","pass":"correct horse"', "The body is not JSON in UTF-8"),
        ('{"user":"ana","pass":"correct horse"}'.encode("utf-16"), "The body is not JSON in UTF-8"),
        (b'{"user":"a\xffna","pass":"correct horse"}', "The body is not JSON in UTF-8"),
        (b'{"user":"a\\ud800na","pass":"correct horse"}', "The body is not JSON in UTF-8"),
        (b'{"user":"ana","pass":"correct\\udfff"}', "The body is not JSON in UTF-8"),
        (b"[]", 'The body must be an object with "user" and "pass"'),
        (b"null", 'The body must be an object with "user" and "pass"'),
        (b'"ana"', 'The body must be an object with "user" and "pass"'),
        (b"[" * 16_000, 'The body must be an object with "user" and "pass"'),
        (b'{"user":' + b"[" * 16_000, "user must be a string"),
        (b'{"user":"ana"}', 'The body has no "pass"'),
        (b'{"pass":"correct horse"}', 'The body has no "user"'),
        (b'{"user":null,"pass":"correct horse"}', "user must be a string"),
        (b'{"user":"ana","pass":12345678}', "pass must be a string"),
        (
            b'{"user":"ana","pass":"correct horse","admin":true}',
            'The body has a field besides "user" and "pass"',
        ),
        (b'{"user":"","pass":"correct horse"}', "user is empty"),
        (b'{"user":"an\\u0000a","pass":"correct horse"}', "user contains a control character"),
        (b'{"user":"ana","pass":"correct\\u0000horse"}', "pass contains a control character"),
    ],
)
def test_bodies_that_are_no_credentials(body: bytes, sentence: str) -> None:
    """Each is refused with what is wrong about it."""
    assert refusal(body) == sentence


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["user", "pass", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_credentials_or_refused(body: bytes) -> None:
    """No bytes whatever end in another error."""
    with contextlib.suppress(BadRequestError):
        assert isinstance(parse(body), Credentials)


@pytest.mark.parametrize(
    "body",
    [
        {"user": "ana", "pass": [CANARY]},
        {"user": "ana", "pass": CANARY, "x": 1},
        {"user": "ana", CANARY: "x"},
        {"user": "ana", "pass": CANARY + "\0"},
        {"user": [CANARY], "pass": "x"},
        CANARY,
    ],
)
def test_a_refusal_never_contains_the_password(body: object) -> None:
    """Wherever the password stands in the body, the sentence does not repeat it."""
    assert CANARY not in refusal(json.dumps(body).encode())
    assert CANARY not in refusal(json.dumps(body).encode() + b"}")


def test_credentials_do_not_print_the_password() -> None:
    """What a log line or a traceback shows of them has no password in it."""
    assert CANARY not in repr(Credentials("ana", CANARY))
