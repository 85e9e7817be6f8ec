"""Making an account for oneself."""

from __future__ import annotations

import time
from typing import cast

import structlog
from hypercorn.typing import HTTPScope
from quart import Blueprint, Response

from gateway import metrics
from gateway.errors import NameTakenError, RegistrationOffError, RequestError
from gateway.passwords.hash_protocol import Lane
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.credentials import Credentials, read_new_credentials
from gateway.web.errors import UNAVAILABLE, refusal_of
from gateway.web.password_check import origin_of
from gateway.web.schemas import BODY_ERRORS, Success, answers_with

logger = structlog.get_logger()

blueprint = Blueprint("register", __name__)

_SUCCESS = responses.encode({"success": True})


@blueprint.post("/register")
@answers_with(Success, 201, *BODY_ERRORS, 403, 409, 429, 503, body=Credentials)
async def register() -> Response:
    """Make an account. Earlier failures at its name are forgotten.

    403 where the setting CERROJO_REGISTRATION is off, 429 where too many came from one source.
    Where the setting is quiet, a name that is taken is answered like one that is made (201), and
    its account stays as it is.
    """
    here = cast(LoginServices, services())
    due = time.monotonic() + here.settings.deadline_seconds
    result = UNAVAILABLE
    try:
        if here.settings.registration == "off":
            raise RegistrationOffError
        credentials = await read_new_credentials(current_request())
        here.common_passwords.refuse(credentials.user, credentials.pass_)
        await _create(here, credentials, due)
        result = "created"
    except RequestError as error:
        result = refusal_of(error).result
        if not (here.settings.registration == "quiet" and isinstance(error, NameTakenError)):
            raise
        # Its owner would hear of it, if anything left this system for owners.
        logger.info("Somebody registered a name that is taken", user=credentials.user)
    finally:
        metrics.REGISTRATIONS.labels(result).inc()
    return responses.answer(201, _SUCCESS)


async def _create(here: LoginServices, credentials: Credentials, due: float) -> None:
    user = credentials.user
    await here.log.reach(user, due)
    gone = current_request().gone
    origin = origin_of(here, cast(HTTPScope, current_request().scope))
    limits = here.source_limits
    source = limits.source(origin)
    limits.refuse_registration(source, user)
    name = f"\0{user}"  # no account's: registrations of a taken name do not delay its owner
    async with here.account_turns.turn(name, here.seconds_to_begin(due), gone) as alone:
        lane = Lane.FOREGROUND if alone else Lane.BACKGROUND
        with limits.registration(source, user):  # others may have taken what was left
            password_hash = await here.hash_client.make(
                lane, name, credentials.pass_, due, gone, limits.network(origin.address)
            )
        await here.accounts.create(user, password_hash, due)
