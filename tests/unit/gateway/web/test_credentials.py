"""A request's body becomes credentials, or a sentence that says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import Policy
from gateway.errors import InvalidInputError
from gateway.web.credentials import (
    Credentials,
    Disabling,
    NewPassword,
    PasswordChange,
    PolicyOrder,
    parse,
    read_block_list,
    read_credentials,
    read_disabling,
    read_new_credentials,
    read_new_password,
    read_password_change,
    read_policy_order,
)

POLICY = msgspec.to_builtins(Policy(version=3))


def policy_order(**body: object) -> PolicyOrder:
    """What this body orders."""
    return asyncio.run(read_policy_order(Request(body)))


def test_a_policy_is_ordered_whole() -> None:
    """What `GET /policy` shows can be sent back."""
    order = policy_order(policy=POLICY | {"threshold": 7}, reason="fewer calls")
    assert msgspec.structs.asdict(order.policy) == POLICY | {"threshold": 7}
    assert order.reason == "fewer calls"
    assert Policy(**msgspec.structs.asdict(order.policy)).threshold == 7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"threshold": 101}, "threshold must be a whole number from 1 to 100, and is 101"),
        ({"threshold": 0}, "threshold must be a whole number from 1 to 100, and is 0"),
        ({"threshold": "5"}, "threshold must be a whole number from 1 to 100"),
        ({"window_ms": 0}, "window_ms must be a whole number from 1 to 86400000, and is 0"),
        ({"block_ms": 1.5}, "block_ms must be a whole number from 0 to 3153600000000"),
        ({"version": -1}, "version must be a whole number from 0 to 2147483647, and is -1"),
        ({"version": 10**30}, "version must be a whole number from 0 to 2147483647"),
        ({"repeated_guesses": "both"}, "repeated_guesses must be count or ignore"),
        ({"x": 1}, f"policy has a member besides {', '.join(Policy.__struct_fields__)}"),
    ],
)
def test_a_value_that_no_policy_has_is_named_with_its_limits(
    change: dict[str, object], sentence: str
) -> None:
    """Those of the message itself, so that no log has it."""
    with pytest.raises(InvalidInputError) as refused:
        policy_order(policy=POLICY | change, reason="why")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("missing", POLICY)
def test_a_policy_without_a_member_is_none(missing: str) -> None:
    """Its default would be in force, which nobody asked for."""
    rest = {name: value for name, value in POLICY.items() if name != missing}
    with pytest.raises(InvalidInputError, match=f'policy has no "{missing}"; send all'):
        policy_order(policy=rest, reason="why")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"policy": POLICY}, 'The body has no "reason"'),
        ({"reason": "why"}, 'The body has no "policy"'),
        ({"policy": POLICY, "reason": 5}, "reason must be a string"),
        ({"policy": [], "reason": "why"}, "policy must be an object, as GET /policy shows it"),
        (
            {"policy": POLICY, "reason": "why", "x": 1},
            'The body has a field besides "policy" and "reason"',
        ),
    ],
)
def test_a_body_that_orders_no_policy_is_refused(body: dict[str, object], sentence: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(InvalidInputError) as refused:
        policy_order(**body)
    assert str(refused.value) == sentence


CANARY = "canary-7f3a-canary"


def refusal(body: bytes) -> str:
    """The refusal of this body, which must not be credentials."""
    with pytest.raises(InvalidInputError) as refused:
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
    with contextlib.suppress(InvalidInputError):
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


def test_no_body_prints_a_password() -> None:
    """No log line or traceback that shows one has the password in it."""
    for body in (
        Credentials("ana", CANARY),
        PasswordChange("ana", CANARY, CANARY),
        NewPassword(CANARY),
    ):
        assert CANARY not in repr(body)


class Request:
    """A request with this body."""

    mimetype = "application/json"

    def __init__(self, body: object) -> None:
        self._body = json.dumps(body).encode()

    async def whole_body(self) -> bytes:
        """The body."""
        return self._body


SHORT = {"user": "ana", "pass": "short"}


def test_the_limits_for_passwords_hold_where_one_is_set() -> None:
    """Never where one is checked: an account may have its own since before they held."""
    assert asyncio.run(read_credentials(Request(SHORT))).pass_ == "short"
    change = asyncio.run(read_password_change(Request({**SHORT, "new": "correct horse"})))
    assert (change.user, change.pass_, change.new) == ("ana", "short", "correct horse")
    limits = "must have at least 8 characters and at most 1024 bytes"
    for reads, body, field in (
        (read_new_credentials, SHORT, "pass"),
        (read_new_password, {"pass": "short"}, "pass"),
        (read_password_change, {**SHORT, "new": "short"}, "new"),
    ):
        with pytest.raises(InvalidInputError, match=f"^{field} {limits}$"):
            asyncio.run(reads(Request(body)))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"user": "ana", "pass": "x", "new": 1}, "new must be a string"),
        ({"user": "ana", "pass": "x"}, 'The body has no "new"'),
        ({**SHORT, "new": "x", "y": 1}, 'The body has a field besides "user", "pass" and "new"'),
        ([], 'The body must be an object with "user", "pass" and "new"'),
        ({**SHORT, "new": CANARY + "\0"}, "new contains a control character"),
    ],
)
def test_bodies_that_change_no_password(body: object, sentence: str) -> None:
    """Each is refused with what is wrong about it, and without the password."""
    with pytest.raises(InvalidInputError) as refused:
        asyncio.run(read_password_change(Request(body)))
    assert str(refused.value) == sentence
    assert refused.value.__cause__ is None
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, 'The body has no "disabled"'),
        ({"disabled": 1}, "disabled must be true or false"),
        ({"disabled": True, "reason": 1}, "reason must be a string"),
        ({"disabled": True, "user": "ana"}, 'The body has a field besides "disabled" and "reason"'),
        (True, 'The body must be an object with "disabled" and "reason"'),
    ],
)
def test_bodies_that_disable_nothing(body: object, sentence: str) -> None:
    """Each is refused with what is wrong about it."""
    with pytest.raises(InvalidInputError) as refused:
        asyncio.run(read_disabling(Request(body)))
    assert str(refused.value) == sentence
    assert asyncio.run(read_disabling(Request({"disabled": False}))) == Disabling(False)


@pytest.mark.parametrize(
    "users", [None, [], ["ana"] * 1_001, ["ana", 1], {"ana": 1}], ids=lambda users: str(users)[:9]
)
def test_lists_of_nobody_or_of_too_many(users: object) -> None:
    """Each is refused with what is wrong about it."""
    with pytest.raises(InvalidInputError) as refused:
        asyncio.run(read_block_list(Request({"users": users})))
    assert str(refused.value) == "users must be a list of 1 to 1000 strings"
    with pytest.raises(InvalidInputError, match='The body has no "users"'):
        asyncio.run(read_block_list(Request({"reason": "x"})))
