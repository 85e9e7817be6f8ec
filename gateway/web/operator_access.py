"""Who may ask the operator port for what: the one place of this rule.

Each of its endpoints says by `needs` which role it takes, or that it is for everybody. Reads from
loopback need no token unless CERROJO_OPERATOR_READS says otherwise; all else needs the token of an
operator whose role is enough. Tokens are looked up for each request, so that one that is revoked
lets nobody in any more.

A program sends its token as `Authorization: Bearer`. The console has it in a cookie that no script
can read and that no page of another site can send along. It is the token itself, and so ends with
it. A change by the cookie also needs the header `CONSOLE`, which a form or a link cannot have, and
which a page elsewhere may not send.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from hypercorn.typing import HTTPScope
from psycopg import AsyncConnection
from quart import g

from events import reasons
from gateway.errors import (
    InsufficientScopeError,
    InvalidInputError,
    NoOperatorsError,
    UnauthorizedError,
)
from gateway.operators import By, Operator, Role, digest_of
from gateway.postgres.operator_tokens import has_operators, select_operator
from gateway.services import Services
from gateway.sources import parse_address
from gateway.web.errors import ForeignPageError
from gateway.web.session_cookie import cookie_in
from settings import Settings, variable

Handler = TypeVar("Handler", bound=Callable[..., Any])

EVERYBODY: Literal["everybody"] = "everybody"
"""Of what says nothing of accounts: health, metrics, the pages' own files, and logging in."""

Need = Role | Literal["everybody"]

NEEDS: dict[Callable[..., Any], Need] = {}
"""By handler. One that is missing here is refused to everybody."""

COOKIE = "cerrojo-operator"
CONSOLE = b"x-cerrojo-console"

_READS = ("GET", "HEAD", "OPTIONS")

_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-real-ip"}
"""A request with one of these came by a proxy, whose own address says nothing of its client."""


def needs(need: Need) -> Callable[[Handler], Handler]:
    """Say who may use an endpoint of the operator port."""

    def decorate(handler: Handler) -> Handler:
        NEEDS[handler] = need
        return handler

    return decorate


def by(reason: str | None) -> By:
    """Who asks, and for this reason; for an endpoint that changes something, and so needs a token.

    Raises InvalidInputError for a reason that could not be shown.
    """
    found: Operator = g.operator
    return By(found.name, checked_reason(reason))


def checked_reason(reason: str | None) -> str | None:
    """The same as records may have it; None for an empty one. Raises InvalidInputError."""
    try:
        return reasons.checked_reason(reason or "")
    except ValueError as error:
        raise InvalidInputError(f"reason {error}") from None


def deadline() -> float:
    """The monotonic time after which this request's answer is too late."""
    found: float = g.due
    return found


async def admit(here: Services, scope: HTTPScope, handler: Callable[..., Any]) -> None:
    """Return where this request may use this endpoint, and note who asks.

    Raises UnauthorizedError, InsufficientScopeError, NoOperatorsError, ForeignPageError, and
    UnavailableError where Postgres does not say whose a token is.
    """
    g.due = time.monotonic() + here.settings.deadline_seconds
    operator = await still_admits(here, scope, handler)
    if operator is not None:
        g.operator = operator


async def still_admits(
    here: Services, scope: HTTPScope, handler: Callable[..., Any]
) -> Operator | None:
    """Who asks, where this has to be somebody: also of an answer that goes on. Raises as admit."""
    need = NEEDS[handler]
    if need == EVERYBODY:
        return None
    is_read = need == Role.READ and scope["method"] in _READS
    if is_read and _reads_freely(here.settings, scope):
        return None
    token, by_cookie = token_of(scope["headers"])
    operator = await find_operator(here, token, need)
    if not operator.role.covers(need):
        raise InsufficientScopeError(
            f"{operator.name} has the role {operator.role}, and this needs {need}. "
            f"`cerrojo operators add {operator.name} --role {need} --replace` makes another token",
            need,
        )
    if by_cookie and not is_read and not any(name == CONSOLE for name, _ in scope["headers"]):
        raise ForeignPageError(
            f"A change by the console's cookie needs the header {CONSOLE.decode()}"
        )
    return operator


def token_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
    """The token in a request with these headers, or nothing; and whether the cookie has it."""
    for name, value in headers:
        scheme, _, token = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == b"bearer":
            return token.strip(), False
    return cookie_in(headers, COOKIE) or b"", True


async def find_operator(here: Services, token: bytes, need: Role = Role.OPERATE) -> Operator:
    """Whose token this is. Raises as :func:`admit`, and advises a token of the role `need`."""

    async def query(connection: AsyncConnection) -> tuple[Operator | None, bool]:
        found = await select_operator(connection, digest_of(token)) if token else None
        return found, found is not None or await has_operators(connection)

    found, there_are_some = await here.database.run(query, here.settings.deadline_seconds)
    if found is not None:
        return found
    if not there_are_some:
        raise NoOperatorsError(
            "Nobody has an operator's token yet, and this needs one. "
            f"`cerrojo operators add NAME --role {need}` makes one"
        )
    if token:
        raise UnauthorizedError(
            "This is no operator's token, or it has expired or is revoked; `cerrojo operators` "
            "lists those that there are"
        )
    raise UnauthorizedError(
        "This needs an operator's token, in the header Authorization: Bearer. The command "
        f"`cerrojo` reads it from the file in {variable('operator_token_file')}"
    )


def _reads_freely(settings: Settings, scope: HTTPScope) -> bool:
    """Whether this client may look at everything without a token."""
    if settings.operator_reads != "loopback":
        return settings.operator_reads == "anyone"
    client = scope.get("client")
    address = parse_address(client[0]) if client else None
    forwarded = any(name in _FORWARDED for name, _ in scope["headers"])
    return address is not None and address.is_loopback and not forwarded
