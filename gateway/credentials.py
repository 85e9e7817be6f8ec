"""From a request's body to a user and a password."""

from __future__ import annotations

from typing import Protocol

import msgspec
from werkzeug.exceptions import RequestEntityTooLarge

from gateway import profiles
from gateway.errors import BadRequestError, NotJsonError, SlowBodyError, TooLargeError

BODY_MAX = 16_384  # bytes
BODY_SECONDS = 3.0  # for the whole body to arrive


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who says that they are whom."""

    user: str
    pass_: str = msgspec.field(name="pass")

    def __repr__(self) -> str:
        """For whoever logs it by mistake."""
        return f"Credentials(user={self.user!r})"


_decoder = msgspec.json.Decoder(Credentials)


class Arriving(Protocol):
    """What this needs of :class:`gateway.app.GatewayRequest`."""

    @property
    def mimetype(self) -> str: ...
    async def whole_body(self) -> bytes: ...


async def read_credentials(request: Arriving) -> Credentials:
    """The credentials in this request, or the BadRequestError that says what is wrong."""
    if request.mimetype != "application/json":
        raise NotJsonError("The Content-Type must be application/json")
    try:
        body = await request.whole_body()
    except RequestEntityTooLarge:
        raise TooLargeError(f"The body must have at most {BODY_MAX} bytes") from None
    except TimeoutError:
        raise SlowBodyError(f"The body must arrive within {BODY_SECONDS:g} seconds") from None
    return parse(body)


def parse(body: bytes) -> Credentials:
    """The credentials in this JSON text in their one form, or BadRequestError."""
    try:
        found = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequestError(_explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("The body is not JSON in UTF-8") from None
    return Credentials(profiles.username(found.user), profiles.password(found.pass_))


def _explain(message: str) -> str:
    """What msgspec says about types, in a sentence; unlike its own it names no foreign field."""
    if "unknown field" in message:
        return 'The body has a field besides "user" and "pass"'
    for field in ("user", "pass"):
        if f"missing required field `{field}`" in message:
            return f'The body has no "{field}"'
        if f"$.{field}" in message:
            return f"{field} must be a string"
    return 'The body must be an object with "user" and "pass"'
