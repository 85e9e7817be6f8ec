"""Cursors: where a page of a list ends, as text that means nothing to anybody else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from gateway.errors import InvalidInputError
from gateway.web.query_parameters import LONGEST

Number = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""A time, an offset, or another number of the log."""
Text = Annotated[str, Meta(max_length=LONGEST, pattern=r"^[^\x00]*$")]

Place = TypeVar("Place")


def cursor(place: object) -> str:
    """The text of a place in a list."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def after(arguments: Mapping[str, str], decoder: msgspec.msgpack.Decoder[Place]) -> Place | None:
    """The place that the parameter `after` says; None without one. Raises InvalidInputError."""
    text = arguments.get("after")
    if text is None:
        return None
    try:
        return decoder.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise InvalidInputError(
            "after must be what `next` of the page before said, with the same parameters; leave it "
            "out for the first page"
        ) from None
