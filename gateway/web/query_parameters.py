"""The query parameters of the operator port."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Protocol

from msgspec import Meta, Struct, field

from events.messages import Decision
from gateway.errors import InvalidInputError
from gateway.passwords.precis import RAW_USER_MAX
from gateway.sources import parse_address

LONGEST = RAW_USER_MAX  # characters; as many as a name can have before it is in its one form
QUERY_MAX = 13_000  # bytes; such a name has at most 12 for each character
DAY_MS = 86_400_000

VERDICTS = {decision.name.lower(): decision for decision in Decision}

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_TIME = 40
"""Characters; more than ISO 8601 needs with microseconds and a difference to UTC."""


class Blocks(Struct):
    """Which blocked accounts to give, and how."""

    limit: Annotated[
        int | None,
        Meta(
            description="The most of them: 1000 if it is left out, and at most 100000; with "
            "`details` 100, and at most 1000"
        ),
    ] = None
    after: Annotated[
        str | None,
        Meta(description="The last name of the page before; with `details`, its `next`"),
    ] = None
    details: Annotated[
        str | None,
        Meta(
            description="1: newest first, with since when, until when and why. The parameters "
            "below need it"
        ),
    ] = None
    reason: Annotated[
        str | None, Meta(description="Only those whose reason has this text, in any case")
    ] = None
    since: Annotated[
        str | None, Meta(description="Only those that began then or later, in ISO 8601")
    ] = None
    text: Annotated[
        str | None, Meta(description="Only those whose name has this text, in any case")
    ] = None


class Asked(Struct):
    """Which decisions to give. All that is left out may be anything."""

    user: Annotated[str | None, Meta(description="Only those about this account")] = None
    source: Annotated[
        str | None, Meta(description="Only attempts that came from this IP address")
    ] = None
    verdict: Annotated[
        str | None, Meta(description=f"Only those with this one: {', '.join(VERDICTS)}")
    ] = None
    operator: Annotated[
        str | None,
        Meta(description="Only what this operator asked for; empty: what any of them did"),
    ] = None
    from_: Annotated[str | None, Meta(description="Only those of then or later, in ISO 8601")] = (
        field(name="from", default=None)
    )
    to: Annotated[str | None, Meta(description="Only those of before then, in ISO 8601")] = None
    day: Annotated[
        str | None,
        Meta(
            description="Only those of this day in UTC, as 2026-11-28. With `Accept: "
            "application/x-ndjson` all of them, oldest first, a line of JSON for each"
        ),
    ] = None
    limit: Annotated[
        int | None, Meta(description="The most of them: 100 if it is left out, and at most 10000")
    ] = None
    after: Annotated[str | None, Meta(description="`next` of the page before")] = None


class Limit(Struct):
    """The largest number of items."""

    limit: Annotated[int | None, Meta(description="The most of each")] = None


class RequestWithQuery(Protocol):
    """The part of a request that is needed here."""

    @property
    def query_string(self) -> bytes: ...
    @property
    def args(self) -> Mapping[str, str]: ...


def arguments(request: RequestWithQuery) -> Mapping[str, str]:
    """The parameters by name; or InvalidInputError if there are more than could be valid."""
    if len(request.query_string) > QUERY_MAX:
        raise InvalidInputError(f"The address's query must have at most {QUERY_MAX} bytes")
    return request.args


def limit(arguments: Mapping[str, str], usual: int, largest: int) -> int:
    """The number of items to give. Raises InvalidInputError."""
    value = arguments.get("limit")
    if value is None:
        return usual
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
    if not 1 <= number <= largest:
        raise InvalidInputError(f"limit must be a number from 1 to {largest}")
    return number


def text(arguments: Mapping[str, str], name: str) -> str:
    """A text that Postgres can compare; empty where it is missing. Raises InvalidInputError."""
    value = arguments.get(name, "")
    if "\0" in value or len(value) > LONGEST:
        raise InvalidInputError(f"{name} must have at most {LONGEST} characters, and no NUL")
    return value


def part(arguments: Mapping[str, str], name: str) -> str:
    """A text to be found in a name or a sentence, in small letters. Raises InvalidInputError."""
    return unicodedata.normalize("NFC", text(arguments, name).lower())


def moment(arguments: Mapping[str, str], name: str) -> int | None:
    """A time in milliseconds since 1970; None where it is missing. Raises InvalidInputError.

    One that does not say its difference to UTC is in UTC.
    """
    value = arguments.get(name)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value if len(value) <= _LONGEST_TIME else "")
    except ValueError:
        raise InvalidInputError(
            f"{name} must be a time in ISO 8601, as 2026-11-28T09:30:00Z, with + written as %2B"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _BEGINNING) // timedelta(milliseconds=1)


def day(arguments: Mapping[str, str]) -> int | None:
    """When the day in UTC begins, in milliseconds since 1970; None where it is missing."""
    value = arguments.get("day")
    if value is None:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.isoformat() != value:  # it takes other forms, too
        raise InvalidInputError("day must be a day in UTC, as 2026-11-28")
    return (found - _BEGINNING.date()).days * DAY_MS


def address(arguments: Mapping[str, str], name: str) -> str | None:
    """An IP address in its one form; None where it is missing. Raises InvalidInputError."""
    value = arguments.get(name)
    if value is None:
        return None
    found = parse_address(value)
    if found is None:
        raise InvalidInputError(f"{name} must be an IP address, as 192.0.2.7 or 2001:db8::7")
    return str(found)


def verdict(arguments: Mapping[str, str]) -> Decision | None:
    """A verdict by its name; None where it is missing. Raises InvalidInputError."""
    value = arguments.get("verdict")
    if value is None:
        return None
    if value not in VERDICTS:
        raise InvalidInputError(f"verdict must be one of {', '.join(VERDICTS)}")
    return VERDICTS[value]
