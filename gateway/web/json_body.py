"""The body of a request: within bounds, and JSON where anything is to be read in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.errors import InvalidInputError, UnavailableError
from gateway.web.errors import NotJsonError, SlowBodyError, TooLargeError

T = TypeVar("T")

BODY_MAX = 16_384  # bytes
BODY_SECONDS = 3.0  # for the whole body to arrive
STALL_SECONDS = 0.25  # later than that only a process that stood still sees the time over


class Arriving(Protocol):
    """The part of :class:`gateway.web.app.GatewayRequest` that is needed here."""

    @property
    def mimetype(self) -> str: ...
    async def whole_body(self) -> bytes: ...


async def read_body(request: Arriving) -> bytes:
    """The bytes of this request's JSON, or the InvalidInputError that says what is wrong.

    Raises UnavailableError as :func:`take_in` does.
    """
    if request.mimetype != "application/json":
        raise NotJsonError("The Content-Type must be application/json")
    return await take_in(request)


async def take_in(request: Arriving) -> bytes:
    """The bytes of this request's body, or the InvalidInputError that says what is wrong with it.

    An answer before that would close the connection while the client still sends. Raises
    UnavailableError where this process stood still: the body may have arrived meanwhile.
    """
    began = time.monotonic()
    try:
        return await request.whole_body()
    except RequestEntityTooLarge:
        raise TooLargeError(f"The body must have at most {BODY_MAX} bytes") from None
    except TimeoutError:
        if time.monotonic() - began > BODY_SECONDS + STALL_SECONDS:
            raise UnavailableError("This process stood still; try again") from None
        raise SlowBodyError(f"The body must arrive within {BODY_SECONDS:g} seconds") from None


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes, explain: Callable[[str], str]) -> T:
    """What this JSON text has, or InvalidInputError.

    `explain` makes a sentence of msgspec's error, whose own names what a client sent.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInputError(explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError("The body is not JSON in UTF-8") from None
