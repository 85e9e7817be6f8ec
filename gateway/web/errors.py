"""How errors are answered: their status codes, and how metrics count them."""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    ClientGoneError,
    CommonPasswordError,
    InsufficientScopeError,
    InvalidInputError,
    KeyReusedError,
    NameTakenError,
    NoOperatorsError,
    NoPolicyKeyError,
    NoSessionError,
    NotEnabledError,
    NotFoundError,
    OverloadedError,
    PolicyChangedError,
    RegistrationOffError,
    RequestError,
    SourceRefusedError,
    UnauthorizedError,
    UnavailableError,
    WrongPasswordError,
)


class NotJsonError(InvalidInputError):
    """The body says that it is something else."""


class SlowBodyError(InvalidInputError):
    """The body did not arrive in time."""


class TooLargeError(InvalidInputError):
    """The body is longer than any that could be valid."""


class ForeignHostError(InvalidInputError):
    """The request names a host that is not this gateway."""


class ForeignPageError(InvalidInputError):
    """A browser says that a page elsewhere asks."""


class CutOffError(Exception):
    """An answer that had begun was not sent to its end; the message says why."""


class Refusal(NamedTuple):
    """How a kind of error is answered."""

    status: int
    result: str
    """The value of the label `result` in the metrics."""
    code: str
    """What a program knows the error by; the sentence beside it is for people and may change."""


UNAVAILABLE = "unavailable"

_REFUSALS: dict[type[RequestError], Refusal] = {
    InvalidInputError: Refusal(400, "invalid", "invalid"),
    CommonPasswordError: Refusal(400, "common_password", "common_password"),
    WrongPasswordError: Refusal(401, "wrong", "wrong_password"),
    UnauthorizedError: Refusal(401, "unauthorized", "unauthorized"),
    NoSessionError: Refusal(401, "no_session", "no_session"),
    BlockedForGoodError: Refusal(403, "final", "blocked_for_good"),
    NotEnabledError: Refusal(403, "not_enabled", "not_enabled"),
    InsufficientScopeError: Refusal(403, "insufficient_scope", "insufficient_scope"),
    RegistrationOffError: Refusal(403, "off", "registration_off"),
    NoOperatorsError: Refusal(403, "invalid", "no_operators"),
    ForeignPageError: Refusal(403, "invalid", "foreign_page"),
    NotFoundError: Refusal(404, "invalid", "not_found"),
    SlowBodyError: Refusal(408, "invalid", "too_slow"),
    NoPolicyKeyError: Refusal(403, "invalid", "no_policy_key"),
    NameTakenError: Refusal(409, "taken", "name_taken"),
    KeyReusedError: Refusal(409, "key_reused", "key_reused"),
    PolicyChangedError: Refusal(409, "invalid", "policy_changed"),
    TooLargeError: Refusal(413, "invalid", "too_large"),
    NotJsonError: Refusal(415, "invalid", "not_json"),
    ForeignHostError: Refusal(421, "invalid", "foreign_host"),
    BlockedError: Refusal(429, "blocked", "blocked"),
    SourceRefusedError: Refusal(429, "source", "source_refused"),
    UnavailableError: Refusal(503, UNAVAILABLE, "unavailable"),
    OverloadedError: Refusal(503, "overloaded", "overloaded"),
    ClientGoneError: Refusal(503, "gone", "client_gone"),
}


def refusal_of(error: RequestError) -> Refusal:
    """The refusal of the error's class, or of the nearest one that it is derived from."""
    return next(_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS)


def retry_after(error: RequestError) -> int | None:
    """Seconds after which the same request may be granted; None where time changes nothing."""
    if isinstance(error, BlockedError | SourceRefusedError):
        return error.seconds
    return 1 if isinstance(error, UnavailableError) else None


def headers_of(error: RequestError) -> dict[str, str]:
    """The headers that its answer has, as keywords of :func:`gateway.web.responses.plain`."""
    headers = {}
    if (seconds := retry_after(error)) is not None:
        headers["retry_after"] = str(seconds)
    if isinstance(error, UnauthorizedError):
        headers["www_authenticate"] = "Bearer"
    if isinstance(error, InsufficientScopeError):
        headers["www_authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return headers
