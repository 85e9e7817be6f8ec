"""From a request's body to a user and a password, or what is to be done with an account."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import msgspec

from events.messages import CENTURY_MS, POLICY_LIMITS, Policy
from gateway.errors import InvalidInputError
from gateway.passwords import precis
from gateway.web.json_body import Arriving, decode_body, read_body, take_in


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    def __repr__(self) -> str:
        """Without a password, in case that it is logged by mistake."""
        user = getattr(self, "user", None)
        return f"{type(self).__name__}({'' if user is None else f'user={user!r}'})"


class Credentials(_Body, frozen=True):
    """A username and a password."""

    user: str
    pass_: str = msgspec.field(name="pass")


class PasswordChange(_Body, frozen=True):
    """A username with the old password and the new one."""

    user: str
    pass_: str = msgspec.field(name="pass")
    new: str


class NewAccount(Credentials, frozen=True):
    """A username and a password, and why an operator makes the account."""

    reason: str | None = None


class NewPassword(_Body, frozen=True):
    """The new password of an account that the path names, and why an operator gives it."""

    pass_: str = msgspec.field(name="pass")
    reason: str | None = None


class Disabling(_Body, frozen=True):
    """Whether an account is to be disabled, and why."""

    disabled: bool
    reason: str | None = None


class BlockOrder(_Body, frozen=True):
    """Why an operator blocks an account, and for how many seconds; none: until it is lifted."""

    reason: str
    seconds: Annotated[int, msgspec.Meta(ge=1, le=CENTURY_MS // 1000)] | None = None


MOST_USERS = 1_000
"""Accounts in one list."""


class BlockList(_Body, frozen=True):
    """Whose blocks an operator lifts, and why."""

    users: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_USERS)]
    reason: str | None = None


class Reason(_Body, frozen=True):
    """Why an operator changes something."""

    reason: str | None = None


if TYPE_CHECKING:
    WholePolicy = Policy
else:
    WholePolicy = msgspec.defstruct(
        "WholePolicy",
        list(get_type_hints(Policy, include_extras=True).items()),
        frozen=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": "A policy as GET /policy shows it, with all of its members."},
    )


class PolicyOrder(_Body, frozen=True):
    """The policy that is to be in force, and why.

    Its version is that of the one which it was made from.
    """

    policy: WholePolicy
    reason: str


_KINDS = {
    "disabled": "true or false",
    "seconds": f"a number from 1 to {CENTURY_MS // 1000}",
    "users": f"a list of 1 to {MOST_USERS} strings",
}
"""Of fields that are no texts."""

Body = TypeVar("Body", bound=_Body)

_decoders: dict[type[_Body], msgspec.json.Decoder[Any]] = {
    body: msgspec.json.Decoder(body)
    for body in (
        Credentials,
        NewAccount,
        PasswordChange,
        NewPassword,
        Disabling,
        BlockOrder,
        BlockList,
        Reason,
        PolicyOrder,
    )
}


async def read_credentials(request: Arriving) -> Credentials:
    """The credentials to check in this request, or the InvalidInputError that says what is wrong.

    The limits for passwords do not matter: an account may have its own since before they held.
    """
    return parse(await read_body(request))


def parse(body: bytes) -> Credentials:
    """The credentials in this JSON text in their one form, or InvalidInputError."""
    found = _decode(Credentials, body)
    return Credentials(precis.username(found.user), precis.password_to_check(found.pass_))


async def read_new_credentials(request: Arriving) -> Credentials:
    """A username and the password that it is to have, or InvalidInputError."""
    found = _decode(Credentials, await read_body(request))
    return Credentials(precis.username(found.user), new_password(found.pass_))


async def read_new_account(request: Arriving) -> NewAccount:
    """A username, the password that it is to have, and a reason, or InvalidInputError."""
    found = _decode(NewAccount, await read_body(request))
    return NewAccount(precis.username(found.user), new_password(found.pass_), found.reason)


async def read_block_order(request: Arriving) -> BlockOrder:
    """Why and for how long to block an account, or InvalidInputError."""
    return _decode(BlockOrder, await read_body(request))


async def read_block_list(request: Arriving) -> BlockList:
    """Whose blocks to lift, and why, or InvalidInputError."""
    return _decode(BlockList, await read_body(request))


async def read_reason(request: Arriving) -> str | None:
    """Why something is to be done, where the request has a body; or InvalidInputError."""
    body = await take_in(request)
    return _decode(Reason, await read_body(request)).reason if body else None


async def read_policy_order(request: Arriving) -> PolicyOrder:
    """The policy that is to be in force, and why, or InvalidInputError."""
    body = await read_body(request)
    fields = PolicyOrder.__struct_fields__
    found: PolicyOrder = decode_body(
        _decoders[PolicyOrder],
        body,
        lambda said: _explain_policy(said, body) or _explain(said, fields),
    )
    return found


def _explain_policy(said: str, body: bytes) -> str | None:
    """A sentence for an error within the policy; None for another one."""
    if "$.policy" not in said:
        return None
    for field in Policy.__struct_fields__:
        if f"missing required field `{field}`" in said:
            return f'policy has no "{field}"; send all that GET /policy shows of it'
        if f"$.policy.{field}`" in said:
            if field == "repeated_guesses":
                return "repeated_guesses must be count or ignore"
            least, most = POLICY_LIMITS.get(field, (0, 2**31 - 1))
            found = ""
            # The rest of the body may be no JSON, or have the member twice.
            with suppress(
                msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError
            ):
                value = msgspec.json.decode(body)["policy"][field]
                found = f", and is {value}" if isinstance(value, int) else ""
            return f"{field} must be a whole number from {least} to {most}{found}"
    if "unknown field" in said:
        return f"policy has a member besides {', '.join(Policy.__struct_fields__)}"
    return "policy must be an object, as GET /policy shows it"


async def read_password_change(request: Arriving) -> PasswordChange:
    """The credentials to check and the new password, or InvalidInputError."""
    found = _decode(PasswordChange, await read_body(request))
    return PasswordChange(
        precis.username(found.user),
        precis.password_to_check(found.pass_),
        new_password(found.new, "new"),
    )


async def read_new_password(request: Arriving) -> NewPassword:
    """The password that an account is to have, and a reason, or InvalidInputError."""
    found = _decode(NewPassword, await read_body(request))
    return NewPassword(new_password(found.pass_), found.reason)


async def read_disabling(request: Arriving) -> Disabling:
    """Whether an account is to be disabled, and why, or InvalidInputError."""
    return _decode(Disabling, await read_body(request))


def new_password(raw: str, field: str = "pass") -> str:
    """A password that may be set, in its one form, or InvalidInputError that names this field."""
    try:
        return precis.password(raw)
    except InvalidInputError as error:
        sentence = str(error).replace("pass", field, 1)
    # Outside of the handler, as in `precis`: no error that is seen leads to the text.
    raise InvalidInputError(sentence)


def _decode(kind: type[Body], body: bytes) -> Body:
    found: Body = decode_body(
        _decoders[kind], body, lambda message: _explain(message, kind.__struct_encode_fields__)
    )
    return found


def _explain(message: str, fields: tuple[str, ...]) -> str:
    """A sentence for msgspec's error; unlike msgspec's own it names no foreign field."""
    *others, last = (f'"{field}"' for field in fields)
    named = f"{', '.join(others)} and {last}" if others else last
    if "unknown field" in message:
        return f"The body has a field besides {named}"
    for field in fields:
        if f"missing required field `{field}`" in message:
            return f'The body has no "{field}"'
        if f"$.{field}`" in message or f"$.{field}[" in message:
            return f"{field} must be {_KINDS.get(field, 'a string')}"
    return f"The body must be an object with {named}"
