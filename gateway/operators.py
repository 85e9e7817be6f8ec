"""Operators: their names, their roles, and the tokens by which they are known.

A token is 256 random bits, which nobody finds by trying, so its hash needs neither salt nor
slowness. `cerrojo operators add NAME` makes one.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum
from typing import NamedTuple

LONGEST_NAME = 64
"""Characters."""


class Role(StrEnum):
    """What an operator may do. Each role may do what the ones before it may."""

    READ = "read"
    """To see blocks, accounts and decisions."""
    OPERATE = "operate"
    """To lift blocks, to disable accounts, to forget their devices."""
    ADMINISTER = "administer"
    """To make and delete accounts, and to give them other passwords."""

    def covers(self, needed: Role) -> bool:
        """Whether it may do what this role may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)


class Operator(NamedTuple):
    """Somebody whose token is valid now."""

    name: str
    role: Role


class By(NamedTuple):
    """Who asks for a change, and why, as the last fields of a message have it."""

    operator: str | None = None
    reason: str | None = None


def check_name(name: str) -> str:
    """The same name. Raises ValueError, with a sentence, for one that nobody could read."""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(
            f"{name!r} is no name: use 1 to {LONGEST_NAME} printable characters, and no space at "
            "either end"
        )
    return name


def new_token() -> str:
    """A token, to be shown once."""
    return secrets.token_urlsafe(32)


def digest_of(token: bytes) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token).digest()
