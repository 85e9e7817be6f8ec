"""Changing one's own password."""

from __future__ import annotations

import time
from typing import cast

from hypercorn.typing import HTTPScope
from quart import Blueprint, Response

from gateway import metrics
from gateway.errors import NotFoundError, RequestError, WrongPasswordError
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.credentials import Credentials, PasswordChange, read_password_change
from gateway.web.errors import UNAVAILABLE, refusal_of
from gateway.web.password_check import device_cookie, prove
from gateway.web.schemas import BODY_ERRORS, Success, answers_with

blueprint = Blueprint("password", __name__)

_SUCCESS = responses.encode({"success": True})


@blueprint.post("/password")
@answers_with(Success, 200, *BODY_ERRORS, 401, 403, 429, 503, body=PasswordChange)
async def change_password() -> Response:
    """Change one's own password by the old one, which counts as it does at a login.

    Afterwards nothing stands against the account, no login succeeds by the old password any more,
    and no other device of the account is known. After a 503 or a broken connection the new password
    may be in force: log in with it before you ask again, as a second wrong one would count.
    """
    here = cast(LoginServices, services())
    due = time.monotonic() + here.settings.deadline_seconds
    result = UNAVAILABLE
    try:
        change = await read_password_change(current_request())
        here.common_passwords.refuse(change.user, change.new, "new")
        cookie = await _change(here, change, due)
        result = "changed"
    except RequestError as error:
        result = refusal_of(error).result
        raise
    finally:
        metrics.PASSWORD_CHANGES.labels(result).inc()
    return responses.answer(200, _SUCCESS, {"Set-Cookie": cookie} if cookie else None)


async def _change(here: LoginServices, change: PasswordChange, due: float) -> str | None:
    """Change it; the header that makes this device known still, where devices are."""
    request = current_request()
    user, gone = change.user, request.gone
    scope = cast(HTTPScope, request.scope)
    proof = await prove(here, Credentials(user, change.pass_), scope, due, gone)
    password_hash = await here.hash_client.make(
        proof.lane, user, change.new, due, gone, proof.network
    )
    try:
        version = await here.accounts.set_password(user, password_hash, due, proof.account.version)
    except NotFoundError:  # it was changed, disabled or deleted meanwhile
        raise WrongPasswordError from None
    return device_cookie(here, user, version, scope["headers"])
