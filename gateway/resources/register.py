"""Making an account."""

from __future__ import annotations

import time
from typing import cast

from psycopg import AsyncConnection
from quart import Blueprint, Response
from quart_schema import document_request

from events.messages import Registered
from gateway import answers, metrics
from gateway.accounts import insert_account
from gateway.app import current_request, services
from gateway.asking import left
from gateway.credentials import Credentials, read_credentials
from gateway.errors import ApiError, TakenError
from gateway.schemas import BODY_ERRORS, Success, answers_with
from gateway.services import LoginServices

blueprint = Blueprint("register", __name__)

COMMIT_SECONDS = 0.1
"""What is left of the deadline for the commit when a verdict comes at the last moment."""

_SUCCESS = answers.encode({"success": True})


@blueprint.post("/register")
@document_request(Credentials)
@answers_with(Success, 201, *BODY_ERRORS, 409, 503)
async def register() -> Response:
    """Make an account. What strangers did to its name before is forgotten."""
    here = cast(LoginServices, services())
    due = time.monotonic() + here.settings.deadline_seconds
    result = "unavailable"
    try:
        credentials = await read_credentials(current_request())
        await _create(here, credentials, due)
        result = "created"
    except ApiError as error:
        result = error.result
        raise
    finally:
        metrics.REGISTRATIONS.labels(result).inc()
    return answers.answer(201, _SUCCESS)


async def _create(here: LoginServices, credentials: Credentials, due: float) -> None:
    user = credentials.user
    here.living_place(user)
    gone = current_request().gone
    line = f"\0{user}"  # nobody's name: strangers who register it do not keep its owner waiting
    async with here.admission.turn(line, here.left_to_begin(due), gone):
        async with here.hasher.turns.turn(line, here.left_to_begin(due), gone):
            password_hash = await here.hasher.hash(credentials.pass_)

        async def insert_and_tell(connection: AsyncConnection) -> None:
            # Nobody else sees the account before the log has forgotten the name's past. If the
            # log does not say so in time, the transaction ends with nothing done.
            async with connection.transaction():
                if not await insert_account(connection, user, password_hash):
                    raise TakenError("This user exists already")
                await here.ask(
                    user,
                    due - COMMIT_SECONDS,
                    lambda id_, reply, partitions: Registered(id_, reply, user, partitions),
                )

        async with here.registering:
            await here.database.run(insert_and_tell, left(due))
