"""Logging in."""

from __future__ import annotations

import time

import structlog
from quart import Blueprint, Response

from gateway import metrics
from gateway.admission.account_turns import ClientGone
from gateway.errors import RequestError
from gateway.kafka.verdict_retry import seconds_until
from gateway.passwords.hash_protocol import Lane
from gateway.postgres.accounts import Account, replace_password_hash
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.credentials import Credentials, read_credentials
from gateway.web.direct_request import DirectRequest
from gateway.web.errors import UNAVAILABLE, refusal_of
from gateway.web.password_check import Proof, device_cookie, prove, refuse_what_has_changed
from gateway.web.responses import Answer
from gateway.web.schemas import BODY_ERRORS, LoggedIn, answers_with
from gateway.web.session_cookie import SessionCookie

logger = structlog.get_logger()

blueprint = Blueprint("login", __name__)

_SUCCESS = responses.plain(200, responses.encode({"success": True}))


@blueprint.post("/login")
@answers_with(LoggedIn, 200, *BODY_ERRORS, 401, 403, 429, 503, body=Credentials)
async def login() -> Response:
    """Log in: the gateway checks the password, and the log decides.

    The limits for passwords hold where one is set: one that is too short is a wrong one here, and
    counts. A text that can be no password is a malformed request (400) and does not count.

    Where a key for sessions is set, the answer also gives a token, and the cookie with it. Where
    one for devices is set, the answer sets a device's cookie, with which a block by strangers'
    guesses does not refuse the next login.

    503 grants nothing. Where the log did not answer in time, the attempt may be in it all
    the same: a wrong password then counts, once, though nobody was told.
    """
    # The login port serves `answer_login` itself, without Quart; this only documents it.
    raise AssertionError("POST /login is answered without Quart")


async def answer_login(here: LoginServices, request: DirectRequest) -> Answer:
    """The answer to a request to log in."""
    started = time.monotonic()
    result = UNAVAILABLE
    try:
        credentials = await read_credentials(request)
        sessions = here.sessions
        keys = sessions.keys() if sessions else None  # or 503, before the attempt counts
        due = started + here.settings.deadline_seconds
        account = await _decide(here, credentials, request, due)
        result = "accepted"
        if sessions is None or keys is None:
            answer = _SUCCESS
        else:
            token = sessions.begin(keys, credentials.user, account.version)
            body = LoggedIn(True, token, sessions.seconds)
            cookie = SessionCookie(here.settings).give(token)
            answer = responses.plain(200, responses.encode(body), set_cookie=cookie)
        device = device_cookie(here, credentials.user, account.version, request.scope["headers"])
        return responses.with_cookie(answer, device) if device else answer
    except RequestError as error:
        result = refusal_of(error).result
        return responses.plain_refusal(error)
    finally:
        metrics.LOGINS.labels(result).inc()
        metrics.LOGIN_SECONDS.observe(time.monotonic() - started)


async def _decide(
    here: LoginServices, credentials: Credentials, request: DirectRequest, due: float
) -> Account:
    """The account, if the log accepts and it still is as it was when the password was checked.

    Any other outcome raises a RequestError.
    """
    proof = await prove(here, credentials, request.scope, due, request.gone)
    if proof.outdated:
        by = here.hash_client.begin_by(due)  # the rest is for what follows
        await _renew(here, proof, credentials, by, request.gone)
    await refuse_what_has_changed(here, credentials.user, proof, due)
    return proof.account


async def _renew(
    here: LoginServices, proof: Proof, credentials: Credentials, due: float, client_gone: ClientGone
) -> None:
    """Hash the password by the present settings; without time for it now, a later login does it."""
    user, stored = credentials.user, proof.account.password_hash
    try:
        renewed = await here.hash_client.make(
            Lane.BACKGROUND, user, credentials.pass_, due, client_gone, proof.network
        )
        await here.database.run(
            lambda connection: replace_password_hash(connection, user, stored, renewed),
            seconds_until(due),
        )
    except RequestError:
        pass  # no time, or no Postgres to write to
    except Exception as error:  # the login is accepted, whatever becomes of this
        logger.error("A password hash could not be renewed", error=type(error).__name__)
