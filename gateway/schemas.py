"""What answers look like, for the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct, field
from quart_schema import document_response

Handler = TypeVar("Handler", bound=Callable[..., Any])


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
    """accepted, rejected or blocked; moved: not decided, because the partitions became more"""
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


BODY_ERRORS = (400, 408, 413, 415)
"""What a request with a body can be answered with when the body is not as it must be."""


def answers_with(model: type[Struct], status: int, *errors: int) -> Callable[[Handler], Handler]:
    """Document that an endpoint answers with this, or with an `Error` of these statuses."""

    def decorate(handler: Handler) -> Handler:
        handler = document_response(model, status)(handler)
        for error in errors:
            handler = document_response(Error, error)(handler)
        return handler

    return decorate
