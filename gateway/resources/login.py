"""Logging in."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import cast

import structlog
from quart import Blueprint, Response
from quart_schema import document_request

from events.messages import Attempt, Decision, Verdict
from gateway import answers, metrics
from gateway.accounts import replace_password_hash
from gateway.admission import Gone
from gateway.app import GatewayRequest, current_request, services
from gateway.asking import left
from gateway.credentials import Credentials, read_credentials
from gateway.errors import ApiError, UnavailableError, WrongPasswordError
from gateway.hashing import BadHashError
from gateway.schemas import BODY_ERRORS, Success, answers_with
from gateway.services import LoginServices, blocked
from gateway.times import now_ms

log = structlog.get_logger()

blueprint = Blueprint("login", __name__)

_SUCCESS = answers.encode({"success": True})


@blueprint.post("/login")
@document_request(Credentials)
@answers_with(Success, 200, *BODY_ERRORS, 401, 403, 429, 503)
async def login() -> Response:
    """Log in: the gateway checks the password, and the log decides what that means.

    A password outside of the limits for passwords is a malformed request (400) and does
    not count: no account can have it.

    503 grants nothing. Where the log did not answer in time, the attempt may be in it all
    the same: a wrong password then counts, once, though nobody was told.
    """
    return await answer_login(cast(LoginServices, services()), current_request())


async def answer_login(here: LoginServices, request: GatewayRequest) -> Response:
    """The answer to a request to log in."""
    started = time.monotonic()
    result = "unavailable"
    try:
        credentials = await read_credentials(request)
        await _decide(here, credentials, started + here.settings.deadline_seconds, request.gone)
        result = "accepted"
        return answers.answer(200, _SUCCESS)
    except ApiError as error:
        result = error.result
        return answers.refusal(error)
    finally:
        metrics.LOGINS.labels(result).inc()
        metrics.LOGIN_SECONDS.observe(time.monotonic() - started)


async def _decide(here: LoginServices, credentials: Credentials, due: float, gone: Gone) -> None:
    """Return if the log accepts; any other outcome is an ApiError."""
    user = credentials.user
    here.refuse_what_is_blocked(user)
    async with here.admission.turn(user, here.left_to_begin(due), gone):
        here.refuse_what_is_blocked(user)  # others' guesses may have blocked it
        stored = await here.lookups.password_hash(user, left(due))
        async with here.hasher.turns.turn(user, here.left_to_begin(due), gone):
            here.refuse_what_is_blocked(user)
            right = await _check(here, stored, credentials)
        verdict = await here.ask(
            user,
            due,
            lambda id_, reply, partitions: Attempt(id_, reply, user, right, partitions),
        )
    conclude(verdict, right)
    if stored and here.hasher.is_outdated(stored):
        await _renew(here, stored, credentials, due, gone)


async def _check(here: LoginServices, stored: str | None, credentials: Credentials) -> bool:
    """Whether the password is the account's; as slow where there is no such account."""
    try:
        return await here.hasher.verify(stored, credentials.pass_)
    except BadHashError as error:
        log.error("An account's password hash cannot be used", reason=str(error))
        raise UnavailableError("This account cannot be checked now") from None


async def _renew(
    here: LoginServices, stored: str, credentials: Credentials, due: float, gone: Gone
) -> None:
    """Hash by the present settings; where there is no time for it now, a later login does it."""
    user = credentials.user
    with suppress(ApiError):
        async with here.hasher.turns.turn(user, here.left_to_begin(due), gone):
            renewed = await here.hasher.hash(credentials.pass_)
        await here.database.run(
            lambda connection: replace_password_hash(connection, user, stored, renewed), left(due)
        )


def conclude(verdict: Verdict, right: bool) -> None:
    """A verdict can only take away: it takes both to get in."""
    if verdict.decision == Decision.BLOCKED:
        raise blocked(verdict.until_ms, now_ms())
    if verdict.decision == Decision.ACCEPTED and right:
        return
    if verdict.decision == Decision.REJECTED and not right:
        raise WrongPasswordError
    log.error("A verdict contradicts its attempt", decision=verdict.decision, right=right)
    raise UnavailableError("The verdict makes no sense; try again later")
