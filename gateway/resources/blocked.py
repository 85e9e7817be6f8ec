"""The accounts that are blocked, and the end of a block by an operator."""

from __future__ import annotations

import time
from urllib.parse import quote

from psycopg import AsyncConnection
from quart import Blueprint, Response, request
from quart_schema import document_querystring

from events.messages import FOREVER, Decision, Unblock
from gateway import answers
from gateway.app import services
from gateway.errors import NotFoundError, UnavailableError
from gateway.operations import BlockRow, select_block, select_blocked
from gateway.profiles import username
from gateway.queries import Page, limit, text
from gateway.schemas import Block, BlockedUsers, Lifted, answers_with
from gateway.times import iso, now_ms

blueprint = Blueprint("blocked", __name__)

PAGE = 1000
LARGEST_PAGE = 100_000

NOT_BLOCKED = "This account is not blocked"
_LIFTED = answers.encode({"unblocked": True})


@blueprint.get("/blocked")
@document_querystring(Page)
@answers_with(BlockedUsers, 200, 400, 503)
async def list_blocked() -> Response:
    """List who is blocked now, in order of the names; `Link` has the next page's address."""
    here = services()
    size = limit(request.args, PAGE, LARGEST_PAGE)
    after = text(request.args, "after")

    async def query(connection: AsyncConnection) -> list[str]:
        return await select_blocked(connection, after, size, now_ms())

    users = await here.database.run(query, here.settings.deadline_seconds)
    headers = {}
    if len(users) == size:
        next_page = f"/blocked?limit={size}&after={quote(users[-1], safe='')}"
        headers["Link"] = f'<{next_page}>; rel="next"'
    return answers.answer(200, answers.encode({"users-blocked": users}), headers)


@blueprint.get("/blocked/<path:user>")
@answers_with(Block, 200, 400, 404, 503)
async def show_block(user: str) -> Response:
    """Show an account's block."""
    here = services()
    name = username(user)

    async def query(connection: AsyncConnection) -> BlockRow | None:
        return await select_block(connection, name, now_ms())

    row = await here.database.run(query, here.settings.deadline_seconds)
    if row is None:
        raise NotFoundError(NOT_BLOCKED)
    return answers.answer(200, answers.encode(_block(row)))


@blueprint.delete("/blocked/<path:user>")
@answers_with(Lifted, 200, 400, 404, 503)
async def lift_block(user: str) -> Response:
    """Lift an account's block and clear its count; through the log, like everything."""
    here = services()
    name = username(user)
    verdict = await here.ask(
        name,
        time.monotonic() + here.settings.deadline_seconds,
        lambda id_, reply, partitions: Unblock(id_, reply, name, partitions),
    )
    if verdict.decision == Decision.REJECTED:
        raise NotFoundError(NOT_BLOCKED)
    if verdict.decision != Decision.ACCEPTED:
        raise UnavailableError("The log did not accept it; try again later")
    return answers.answer(200, _LIFTED)


def _block(row: BlockRow) -> Block:
    return Block(
        user=row.username,
        since=iso(row.blocked_since_ms),
        until=None if row.blocked_until_ms == FOREVER else iso(row.blocked_until_ms),
        why=row.blocked_why,
        failures=row.in_a_row,
    )
