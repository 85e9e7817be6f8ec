"""The blocked accounts, and unblocking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import cast

import msgspec
from psycopg import AsyncConnection
from quart import Blueprint, Response, current_app, request

from events.messages import FOREVER, Block, Decision, Unblock
from gateway.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    RequestError,
    UnavailableError,
)
from gateway.operators import By, Role
from gateway.passwords.precis import username
from gateway.postgres.operator_queries import (
    BlockPlace,
    BlockRow,
    WantedBlocks,
    select_block,
    select_blocked,
    select_newest_blocks,
)
from gateway.services import Services
from gateway.timestamps import iso
from gateway.web import responses, schemas
from gateway.web.app import GatewayApp, current_request, services
from gateway.web.credentials import (
    BlockList,
    BlockOrder,
    Reason,
    read_block_list,
    read_block_order,
    read_reason,
)
from gateway.web.cursors import Number, Text, after, cursor
from gateway.web.errors import refusal_of
from gateway.web.operator_access import by, deadline, needs
from gateway.web.query_parameters import Blocks, arguments, limit, moment, part, text
from gateway.web.schemas import (
    BODY_ERRORS,
    BlockedByHand,
    BlockedUsers,
    Lifted,
    LiftedOne,
    answers_with,
)

blueprint = Blueprint("blocked", __name__)

PAGE = 1000
LARGEST_PAGE = 100_000

DETAILED_PAGE = 100
LARGEST_DETAILED_PAGE = 1_000
MOST_LOOKED_AT = 50_000
"""Blocks that one answer looks at, whatever is asked for: 0.4 s among 1,000,000, on two busy cores
[measured]."""

LIFTED_AT_ONCE = 16
"""Accounts of one list that wait for the log at the same time."""

MOST_LISTS = 2
"""Lists that one process lifts at the same time."""

NOT_BLOCKED = "This account is not blocked"
_LIFTED = responses.encode({"unblocked": True})
_lists: set[object] = set()


@needs(Role.READ)
@blueprint.get("/blocked")
@answers_with(BlockedUsers, 200, 400, 503, query=Blocks)
async def list_blocked() -> Response:
    """List the blocked accounts by name; `Link` has the next page's address.

    With `details=1` they come newest first, with since when, until when and why, and `next` leads
    to the next page: it is null on the last one. An answer looks at no more than 50,000 blocks, so
    a page may be short, or even empty, before the last one.
    """
    here = services()
    asked = arguments(request)
    if asked.get("details", "") not in ("", "0"):
        return await _list_details(asked)
    if found := [name for name in _OF_DETAILS if name in asked]:
        raise InvalidInputError(f"{found[0]} needs details=1")
    size = limit(asked, PAGE, LARGEST_PAGE)
    last = text(asked, "after")

    async def query(connection: AsyncConnection) -> list[str]:
        return await select_blocked(connection, last, size, here.log_clock_ms())

    users = await here.database.run(query, here.settings.deadline_seconds)
    headers = responses.next_page(request, users[-1] if len(users) == size else None)
    return responses.answer(200, responses.encode({"users-blocked": users}), headers)


_OF_DETAILS = ("reason", "since", "text")
_place = msgspec.msgpack.Decoder(tuple[Number, Text])


async def _list_details(asked: Mapping[str, str]) -> Response:
    here = services()
    if asked["details"] != "1":
        raise InvalidInputError("details must be 1, or be left out")
    size = limit(asked, DETAILED_PAGE, LARGEST_DETAILED_PAGE)
    place = after(asked, _place)
    wanted = WantedBlocks(part(asked, "text"), part(asked, "reason"), moment(asked, "since") or 0)

    async def query(connection: AsyncConnection) -> tuple[list[BlockRow], BlockPlace | None]:
        return await select_newest_blocks(
            connection, wanted, place, size, here.log_clock_ms(), MOST_LOOKED_AT
        )

    rows, end = await here.database.run(query, here.settings.deadline_seconds)
    further = end and cursor(end)
    page = BlockedUsers(blocked=[_block(row) for row in rows], next=further)
    return responses.answer(200, responses.encode(page), responses.next_page(request, further))


@needs(Role.READ)
@blueprint.get("/blocked/<username:user>")
@answers_with(schemas.Block, 200, 400, 404, 503)
async def show_block(user: str) -> Response:
    """Show an account's block."""
    here = services()
    name = username(user)

    async def query(connection: AsyncConnection) -> BlockRow | None:
        return await select_block(connection, name, here.log_clock_ms())

    row = await here.database.run(query, here.settings.deadline_seconds)
    if row is None:
        raise NotFoundError(NOT_BLOCKED)
    return responses.answer(200, responses.encode(_block(row)))


@needs(Role.OPERATE)
@blueprint.delete("/blocked/<username:user>")
@answers_with(Lifted, 200, *BODY_ERRORS, 404, 503, body=Reason)
async def lift_block(user: str) -> Response:
    """Lift an account's block and clear its count; through the log, like everything."""
    here = services()
    name = username(user)
    await _lift(here, name, by(await read_reason(current_request())), deadline())
    return responses.answer(200, _LIFTED)


@needs(Role.OPERATE)
@blueprint.delete("/blocked")
@answers_with(LiftedOne, 200, *BODY_ERRORS, 503, body=BlockList)
async def lift_blocks() -> Response:
    """Lift the blocks of a list of accounts, each as if it were the only one.

    The answer has a line of JSON for each as soon as it is done, so in any order. A failure of one
    is in its line, and the others go on. Where the client leaves, or this process is to end, no
    further one begins, and those have no line.
    """
    here, asked = services(), current_request()
    wanted = await read_block_list(asked)
    ordered = by(wanted.reason)
    if len(_lists) >= MOST_LISTS:
        raise OverloadedError(
            f"{MOST_LISTS} lists are being lifted already; try again when one of them is done"
        )
    gone, stopping = asked.gone(), cast(GatewayApp, current_app).stopping
    turns = asyncio.Semaphore(LIFTED_AT_ONCE)

    async def one(user: str) -> LiftedOne | None:
        async with turns:
            if gone.done() or stopping.is_set():
                return None
            try:
                due = time.monotonic() + here.settings.deadline_seconds
                await _lift(here, username(user), ordered, due)
            except RequestError as error:
                return LiftedOne(user, False, str(error), refusal_of(error).code)
            return LiftedOne(user, True)

    async def lines() -> AsyncIterator[bytes]:
        this = object()
        _lists.add(this)
        lifting = [asyncio.ensure_future(one(user)) for user in wanted.users]
        try:
            for done in asyncio.as_completed(lifting):
                if (line := await done) is not None:
                    yield responses.encode(line) + b"\n"
        finally:
            await asyncio.gather(*lifting, return_exceptions=True)
            _lists.discard(this)

    return Response(lines(), 200, responses.AS_IT_COMES | {"Content-Type": responses.NDJSON})


async def _lift(here: Services, name: str, ordered: By, due: float) -> None:
    """Lift this account's block by `due`. Raises NotFoundError and UnavailableError."""
    verdict = await here.log.ask(
        name,
        due,
        lambda id_, reply, *rest: Unblock(id_, reply, name, *rest, **ordered._asdict()),
    )
    if verdict.decision == Decision.REJECTED:
        raise NotFoundError(NOT_BLOCKED)
    if verdict.decision != Decision.ACCEPTED:
        raise UnavailableError("The log did not accept it; try again later")


@needs(Role.OPERATE)
@blueprint.post("/blocked/<username:user>")
@answers_with(BlockedByHand, 200, *BODY_ERRORS, 503, body=BlockOrder)
async def block(user: str) -> Response:
    """Block an account by hand, with all its devices, for so many seconds or until it is lifted.

    A block that stands is not shortened.
    """
    here = services()
    name = username(user)
    order = await read_block_order(current_request())
    ordered = by(order.reason)
    if ordered.reason is None:
        raise InvalidInputError("reason is empty; say why the account is blocked")
    verdict = await here.log.ask(
        name,
        deadline(),
        lambda id_, reply, partitions, expires_ms: Block(
            *(id_, reply, name, partitions, expires_ms, *ordered), 1000 * (order.seconds or 0)
        ),
    )
    if verdict.decision != Decision.ACCEPTED:
        raise UnavailableError("The log did not accept it; try again later")
    until = None if verdict.until_ms == FOREVER else iso(verdict.until_ms)
    return responses.answer(200, responses.encode(BlockedByHand(True, until)))


def _block(row: BlockRow) -> schemas.Block:
    return schemas.Block(
        user=row.username,
        since=iso(row.blocked_since_ms),
        until=None if row.blocked_until_ms == FOREVER else iso(row.blocked_until_ms),
        why=row.blocked_why,
        failures=row.consecutive_failures,
        level=row.level,
        by_hand=row.by_hand,
    )
