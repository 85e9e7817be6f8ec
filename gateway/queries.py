"""Parameters in the query of an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import BadRequestError

LONGEST = 256  # characters; as many as a name can have before it is put into its one form


@dataclass
class Page:
    """Which part of a list."""

    limit: int | None = None
    """How many at most."""
    after: str | None = None
    """The last one of the page before."""


@dataclass
class OneUser:
    """Whose, and how many."""

    user: str | None = None
    limit: int | None = None


def limit(arguments: Mapping[str, str], usual: int, largest: int) -> int:
    """How many are wanted, or BadRequestError."""
    value = arguments.get("limit")
    if value is None:
        return usual
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
    if not 1 <= number <= largest:
        raise BadRequestError(f"limit must be a number from 1 to {largest}")
    return number


def text(arguments: Mapping[str, str], name: str) -> str:
    """A text that Postgres can compare with; empty where there is none. Or BadRequestError."""
    value = arguments.get(name, "")
    if "\0" in value or len(value) > LONGEST:
        raise BadRequestError(f"{name} must have at most {LONGEST} characters, and no NUL")
    return value
