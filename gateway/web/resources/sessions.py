"""Sessions after a login: whose is it, how is it verified elsewhere, and its end in a browser."""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from quart import Blueprint, Response

from gateway import metrics
from gateway.errors import NoSessionError, NotFoundError, RequestError
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.direct_request import DirectRequest
from gateway.web.errors import UNAVAILABLE, ForeignPageError, refusal_of
from gateway.web.json_body import Arriving, take_in
from gateway.web.responses import Answer
from gateway.web.schemas import OwnSession, PublicKeys, Success, answers_with
from gateway.web.session_cookie import SessionCookie
from settings import variable

if TYPE_CHECKING:
    from gateway.sessions import Session, Sessions

blueprint = Blueprint("sessions", __name__)

KNOWN_SECONDS = 300
"""How long others may go by the public keys that they have."""

_PLAIN = string.ascii_letters + string.digits + string.punctuation.replace("%", "")


@blueprint.get("/session")
@answers_with(OwnSession, 200, 401, 404, 408, 413, 503, of_sessions=True)
async def session() -> Response:
    """Say whose session this is, by the Bearer token or else by the cookie.

    For a proxy that asks before it lets a request through (nginx' auth_request, forward auth). It
    need not send the body of the page's request, which nobody looks at: 413 where it is long. The
    answer has the user in X-Cerrojo-User, too: each byte of the name in UTF-8 that is no visible
    ASCII character, and the percent sign, is written as %XX.

    A session ends with its time, with a change of the account's password, where the account's
    devices are forgotten, and where the account is disabled or deleted. A block of the account does
    not end it.
    """
    # The login port serves GET itself, without Quart; this is for HEAD.
    here = cast(LoginServices, services())
    request = current_request()
    return responses.response(await _answer(here, request, request.scope["headers"]))


@blueprint.get("/.well-known/jwks.json")
@answers_with(PublicKeys, 200, 404, 503)
async def show_keys() -> Response:
    """Give the public keys of sessions as a JWK Set (RFC 7517), for those who verify tokens."""
    keys = _enabled(cast(LoginServices, services())).keys()
    cached = {"Cache-Control": f"public, max-age={KNOWN_SECONDS}"}
    return responses.answer(200, keys.public, cached)


@blueprint.post("/logout")
@answers_with(Success, 200, 403, 404)
async def logout() -> Response:
    """Remove the cookie. The token itself goes on until its end, where somebody has kept it.

    403 where a browser says that a page of another site asks.
    """
    here = cast(LoginServices, services())
    _enabled(here)
    if current_request().headers.get("Sec-Fetch-Site") == "cross-site":
        raise ForeignPageError("A page of another site may log nobody out")
    taken_away = {"Set-Cookie": SessionCookie(here.settings).take_away()}
    return responses.answer(200, responses.encode({"success": True}), taken_away)


async def answer_session(here: LoginServices, request: DirectRequest) -> Answer:
    """The answer to a request for its session."""
    return await _answer(here, request, request.scope["headers"])


async def _answer(
    here: LoginServices, request: Arriving, headers: Iterable[tuple[bytes, bytes]]
) -> Answer:
    sessions = _enabled(here)
    result = UNAVAILABLE
    try:
        await take_in(request)
        found = await _session(here, sessions, headers)
        result = "accepted"
        body = OwnSession(found.user, found.seconds_left)
        user = quote(found.user, safe=_PLAIN)
        return responses.plain(200, responses.encode(body), x_cerrojo_user=user)
    except RequestError as error:
        result = refusal_of(error).result
        return responses.plain_refusal(error)
    finally:
        metrics.SESSION_CHECKS.labels(result).inc()


async def _session(
    here: LoginServices, sessions: Sessions, headers: Iterable[tuple[bytes, bytes]]
) -> Session:
    """The session of a request with these headers.

    Raises NoSessionError, and UnavailableError where Postgres does not say whether it goes on.
    """
    token = _bearer(headers) or SessionCookie(here.settings).token_in(headers)
    if not token:
        raise NoSessionError("Log in: the request has neither the cookie nor a Bearer token")
    found = sessions.session_of(token)
    account = await here.account_loader.recent_account(found.user, here.settings.deadline_seconds)
    if account is None or account.disabled or account.version != found.version:
        raise NoSessionError("The account has changed since; log in again")
    return found


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return token.strip()
    return None


def _enabled(here: LoginServices) -> Sessions:
    if here.sessions is None:
        raise NotFoundError(
            f"There are no sessions here. Set {variable('session_keys_file')} to a file of keys; "
            "`cerrojo keys session new-key FILE` makes one"
        )
    return here.sessions
