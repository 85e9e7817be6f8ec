"""What both ports have in common: errors in JSON, limits, and handlers that are not cancelled."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Quart, Request, Response, current_app, request
from quart.asgi import ASGIHTTPConnection
from werkzeug.exceptions import HTTPException

from gateway import answers
from gateway.credentials import BODY_MAX, BODY_SECONDS
from gateway.errors import ApiError
from gateway.services import Services

log = structlog.get_logger()


class Refusing(Protocol):
    """What may stand before an application (see :class:`gateway.door.Door`)."""

    def is_closed(self, scope: HTTPScope) -> bool: ...
    async def refuse(self, scope: HTTPScope, send: ASGISendCallable) -> None: ...


class GatewayRequest(Request):
    """A request that knows whether its client has left."""

    gone: asyncio.Future[None]


class Connection(ASGIHTTPConnection):
    """One request. Quart would cancel its handler when the client leaves; this goes on.

    Otherwise a guess whose sender hangs up at once would not count. What only waits so far
    looks at :func:`client_gone` and does not begin.
    """

    app: GatewayApp

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer it; ends with the answer, whether or not the client is still there."""
        self.scope["path"] = self.scope["path"] or "/"  # CONNECT has none
        door = self.app.door
        if door and door.is_closed(self.scope):
            await door.refuse(self.scope, send)
            return
        request = cast(GatewayRequest, self._create_request_from_scope(send))
        receiver = asyncio.ensure_future(self.handle_messages(request, receive))
        request.gone = receiver
        handler = asyncio.ensure_future(self.handle_request(request, send))
        self.app.in_hand.add(handler)
        handler.add_done_callback(self.app.in_hand.discard)
        handler.add_done_callback(lambda _: receiver.cancel())
        await asyncio.wait((handler, receiver), return_when=asyncio.FIRST_COMPLETED)
        if not handler.done():
            request.body.set_complete()  # as much of it as there will ever be
            # A body that is broken looks like a client that left, and its sender waits.
            await asyncio.wait((handler,))


class GatewayApp(Quart):
    """A Quart application with the services that its resources need."""

    asgi_http_class = Connection
    request_class = GatewayRequest

    def __init__(self, name: str, services: Services) -> None:
        super().__init__(name, static_folder=None)
        self.services = services
        self.door: Refusing | None = None
        self.in_hand: set[asyncio.Future[None]] = set()
        """Requests that are not answered yet, whether or not their clients wait."""
        self.config["MAX_CONTENT_LENGTH"] = BODY_MAX
        self.config["BODY_TIMEOUT"] = min(BODY_SECONDS, services.settings.deadline_seconds)
        self.register_error_handler(ApiError, _api_error)
        self.register_error_handler(HTTPException, _http_error)
        self.register_error_handler(Exception, _unexpected)


def services() -> Services:
    """The services of the current application."""
    return cast(GatewayApp, current_app).services


def client_gone() -> asyncio.Future[None]:
    """Done when the client of the current request has left, or cannot be understood any more."""
    return cast(GatewayRequest, request).gone


async def _api_error(error: ApiError) -> Response:
    return answers.error(error.status, str(error), error.headers)


async def _http_error(error: HTTPException) -> Response:
    sentences = {
        404: "There is nothing at this path",
        405: "This path has no such method",
    }
    sentence = sentences.get(error.code or 500) or error.description or error.name
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answers.error(error.code or 500, sentence, headers)


async def _unexpected(error: Exception) -> Response:
    log.error("A request failed in a way that nobody expected", path=request.path, exc_info=error)
    return answers.error(500, "Something unexpected went wrong; the log says what")
