"""The console's login: an operator's token, in a cookie."""

from __future__ import annotations

import msgspec
from psycopg import AsyncConnection
from quart import Blueprint, Response

from gateway.errors import NoOperatorsError, UnauthorizedError
from gateway.operators import Operator
from gateway.postgres.event_notes import note_operator_login
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.json_body import decode_body, read_body
from gateway.web.operator_access import COOKIE, EVERYBODY, find_operator, needs, token_of
from gateway.web.schemas import hidden

blueprint = Blueprint("operator_session", __name__)


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


_decoder = msgspec.json.Decoder(_Login)
_NOBODY = responses.encode({"operator": None})


@needs(EVERYBODY)
@blueprint.get("/operator")
@hidden
async def who() -> Response:
    """Say whose the cookie is, or that it is nobody's."""
    token, _ = token_of(current_request().scope["headers"])
    if not token:
        return responses.answer(200, _NOBODY)
    try:
        return _shown(await find_operator(services(), token))
    except (UnauthorizedError, NoOperatorsError):
        return responses.answer(200, _NOBODY, {"Set-Cookie": _cookie("", over=True)})


@needs(EVERYBODY)
@blueprint.post("/session")
@hidden
async def log_in() -> Response:
    """Take an operator's token into a cookie, and note it for others to hear of."""
    body = await read_body(current_request())
    token = decode_body(_decoder, body, lambda _: 'The body must be {"token": "..."}').token
    here = services()
    found = await find_operator(here, token.strip().encode("utf-8", "replace"))
    client = current_request().scope.get("client")

    async def note(connection: AsyncConnection) -> None:
        await note_operator_login(connection, found, client[0] if client else None)

    await here.database.run(note, here.settings.deadline_seconds)
    return _shown(found, {"Set-Cookie": _cookie(token.strip())})


@needs(EVERYBODY)
@blueprint.delete("/session")
@hidden
async def log_out() -> Response:
    """Remove the cookie. The token goes on."""
    return responses.answer(200, _NOBODY, {"Set-Cookie": _cookie("", over=True)})


def _shown(operator: Operator, headers: dict[str, str] | None = None) -> Response:
    said = {"operator": operator.name, "role": operator.role}
    return responses.answer(200, responses.encode(said), headers)


def _cookie(token: str, over: bool = False) -> str:
    """Of this host alone, and until the browser ends; by https where the page came by it."""
    secure = current_request().headers.get("Origin", "").lower().startswith("https:")
    return (
        f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
        f"{'; Secure' if secure else ''}{'; Max-Age=0' if over else ''}"
    )
