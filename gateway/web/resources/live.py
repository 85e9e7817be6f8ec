"""What goes on now, once a second, for as long as somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

from hypercorn.typing import HTTPScope
from quart import Blueprint, Response, current_app, request

from gateway.errors import OverloadedError, RequestError
from gateway.live import LiveFigures
from gateway.operators import Role
from gateway.services import OperatorServices
from gateway.web import responses
from gateway.web.app import GatewayApp, current_request, services
from gateway.web.operator_access import needs, still_admits
from gateway.web.schemas import answers_with

blueprint = Blueprint("live", __name__)

MOST_WATCHERS = 32
"""Streams of one process at the same time. All have the figures of the same looks."""

WATCH_SECONDS = 3_600.0
"""A stream ends then; a browser asks again by itself."""

CHECK_SECONDS = 3.0
"""Between two looks whether a stream's client may still see it."""

_watchers: set[object] = set()


@needs(Role.READ)
@blueprint.get("/live")
@answers_with(LiveFigures, 200, 503)
async def show_live() -> Response:
    """Show what this host's gateway answers a second, how fast, and what it hears of the workers.

    With `Accept: text/event-stream` it goes on once a second, as server-sent events, for an hour at
    most, and while the client may see it.
    """
    here = cast(OperatorServices, services())
    if responses.EVENTS not in request.headers.get("Accept", ""):
        return responses.answer(200, responses.encode(await here.live.next()))
    if len(_watchers) >= MOST_WATCHERS:
        raise OverloadedError(f"{MOST_WATCHERS} watch already; try again later")
    asked, stopping = current_request(), cast(GatewayApp, current_app).stopping
    scope, gone = cast(HTTPScope, asked.scope), asked.gone()

    async def events() -> AsyncIterator[bytes]:
        this, now = object(), time.monotonic()
        until, check_at = now + WATCH_SECONDS, now + CHECK_SECONDS
        ending = asyncio.ensure_future(stopping.wait())
        _watchers.add(this)
        try:
            while now < until:
                if now >= check_at:
                    await still_admits(here, scope, show_live)
                    check_at = now + CHECK_SECONDS
                looking = asyncio.ensure_future(here.live.next())
                await asyncio.wait((looking, ending, gone), return_when=asyncio.FIRST_COMPLETED)
                if not looking.done():
                    looking.cancel()
                    return
                yield b"data: " + responses.encode(looking.result()) + b"\n\n"
                now = time.monotonic()
        except RequestError:
            return  # the next request is told why
        finally:
            ending.cancel()
            _watchers.discard(this)

    body = b"" if request.method == "HEAD" else events()
    return Response(body, 200, responses.AS_IT_COMES | {"Content-Type": responses.EVENTS})
