"""What answers look like, for the documentation."""

from __future__ import annotations

from msgspec import Struct, field


class Success(Struct):
    """It worked."""

    success: bool


class Error(Struct):
    """What went wrong, in a sentence."""

    error: str


class BlockedUsers(Struct):
    """A page of the accounts that are blocked, in order of their names."""

    users_blocked: list[str] = field(name="users-blocked")


class Block(Struct):
    """An account's block. Times are ISO 8601 in UTC."""

    user: str
    since: str
    until: str | None
    """null: until an operator lifts it."""
    why: str
    failures: int
    """Wrong passwords since the last right one."""


class Lifted(Struct):
    """The block is lifted."""

    unblocked: bool


class Decided(Struct):
    """One decision of the log."""

    at: str
    partition: int
    generation: int
    offset: int
    kind: str
    """attempt, registered or unblock"""
    outcome: str | None
    """right or wrong; null where it was no attempt"""
    verdict: str
    """accepted, rejected or blocked"""
    policy: int


class Attempts(Struct):
    """What was decided about an account, the newest first."""

    attempts: list[Decided]


class Alive(Struct):
    """The process lives."""

    alive: bool


class Readiness(Struct):
    """Whether logins can be decided; each part says "ok" or what is wrong."""

    ready: bool
    parts: dict[str, str]
