"""What both ports have in common: errors in JSON, limits, and handlers that are not cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Quart, Request, Response, current_app, request
from quart.asgi import ASGIHTTPConnection
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart.wrappers.response import DataBody
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

    receive: ASGIReceiveCallable
    _size = 0
    _whole = False
    _left = False
    _watcher: asyncio.Task[None] | None = None

    def gone(self) -> asyncio.Future[None]:
        """Done when the client has left, or cannot be understood any more."""
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch())
        return self._watcher

    async def whole_body(self) -> bytes:
        """The body, or what had come of it when the client left.

        Raises RequestEntityTooLarge, and TimeoutError where it does not arrive in time.
        """
        async with asyncio.timeout(self.body_timeout):
            if self._watcher is None:  # else that takes in what arrives
                while not self._whole and max(self._size, self.content_length or 0) <= BODY_MAX:
                    await self._take()
            return cast(bytes, await self.body)

    def ended(self) -> None:
        """Listen no more."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> None:
        while not self._left:
            await self._take()

    async def _take(self) -> None:
        message = await self.receive()
        if message["type"] == "http.request":
            data = message.get("body", b"")
            self._size += len(data)
            self.body.append(data)
            if message.get("more_body", False):
                return
        else:
            # What there is of the body now is as much of it as there will ever be. A body that
            # is broken looks like a client that left, and its sender waits for an answer.
            self._left = True
        self._whole = True
        self.body.set_complete()


Direct = Callable[[GatewayRequest], Awaitable[Response]]


class Connection(ASGIHTTPConnection):
    """One request. Quart would cancel its handler when the client leaves; this goes on.

    Otherwise a guess whose sender hangs up at once would not count. What only waits so far
    looks at :meth:`GatewayRequest.gone` and does not begin.
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
        request.receive = receive
        if not self.app.is_direct(request):
            request.gone()  # takes in the body, which Quart only waits for
        handler = asyncio.ensure_future(self.handle_request(request, send))
        self.app.in_hand.add(handler)
        ended = asyncio.get_running_loop().create_future()

        def end(handler: asyncio.Future[None]) -> None:
            self.app.in_hand.discard(handler)
            request.ended()
            if not ended.done():
                ended.set_result(None)

        handler.add_done_callback(end)
        await ended

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """Answer it, without a task and a timer for the sending."""
        await self._send_response(send, await self.app.handle_request(request))

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        """Send it in two messages, where Quart needs three: our answers are whole."""
        body = response.response
        if not isinstance(body, DataBody):
            await super()._send_response(send, response)
            return
        headers = encode_headers(response.headers)
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        data = body.data[body.begin : body.end]
        await send({"type": "http.response.body", "body": data, "more_body": False})


class GatewayApp(Quart):
    """A Quart application with the services that its resources need."""

    asgi_http_class = Connection
    request_class = GatewayRequest

    def __init__(self, name: str, services: Services) -> None:
        super().__init__(name, static_folder=None)
        self.services = services
        self.door: Refusing | None = None
        self.direct: dict[tuple[str, str], Direct] = {}
        """Resources by method and path that are answered by :meth:`handle_request` itself."""
        self.in_hand: set[asyncio.Future[None]] = set()
        """Requests that are not answered yet, whether or not their clients wait."""
        self.config["MAX_CONTENT_LENGTH"] = BODY_MAX
        self.config["RESPONSE_TIMEOUT"] = None  # nothing is awaited: the server has all at once
        self.config["BODY_TIMEOUT"] = min(BODY_SECONDS, services.settings.deadline_seconds)
        self.register_error_handler(ApiError, _api_error)
        self.register_error_handler(HTTPException, _http_error)
        self.register_error_handler(Exception, _unexpected)

    def is_direct(self, request: Request) -> bool:
        """Whether :meth:`handle_request` answers it without Quart."""
        return (request.method, request.path) in self.direct

    async def handle_request(self, request: Request) -> ResponseTypes:
        """As Quart does it; or without its contexts, hooks, signals and sessions.

        A direct resource uses none of these, and they are half of what an answer costs.
        """
        if not self.is_direct(request):
            return await super().handle_request(request)
        try:
            return await self.direct[request.method, request.path](cast(GatewayRequest, request))
        except ApiError as error:
            return answers.refusal(error)
        except Exception as error:
            return _failure(request, error)


def services() -> Services:
    """The services of the current application."""
    return cast(GatewayApp, current_app).services


def current_request() -> GatewayRequest:
    """The current request."""
    return cast(GatewayRequest, request)


async def _api_error(error: ApiError) -> Response:
    return answers.refusal(error)


async def _http_error(error: HTTPException) -> Response:
    sentences = {
        404: "There is nothing at this path",
        405: "This path has no such method",
    }
    sentence = sentences.get(error.code or 500) or error.description or error.name
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answers.error(error.code or 500, sentence, headers)


async def _unexpected(error: Exception) -> Response:
    return _failure(request, error)


def _failure(request: Request, error: Exception) -> Response:
    log.error("A request failed in a way that nobody expected", path=request.path, exc_info=error)
    return answers.error(500, "Something unexpected went wrong; the log says what")
