"""The application of both ports: errors in JSON, limits, handlers that are not cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope, Scope
from quart import Quart, Request, Response, current_app, request
from quart.asgi import ASGIHTTPConnection
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart.wrappers.base import BaseRequestWebsocket
from quart.wrappers.response import DataBody
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from gateway import request_ids
from gateway.errors import RequestError
from gateway.services import Services
from gateway.web import responses
from gateway.web.connections import Peer
from gateway.web.direct_request import DirectRequest
from gateway.web.errors import CutOffError
from gateway.web.json_body import BODY_MAX, BODY_SECONDS
from gateway.web.paths import routed
from gateway.web.responses import Answer

logger = structlog.get_logger()

READ_SECONDS = 30.0
"""So long a client may take over the next part of a long answer. What it does not read is held in
memory."""

PART_BYTES = 65_536
"""Of a long answer so much is handed to the server at a time."""

UNEXPECTED = "A request failed in a way that nobody expected"


class Shedder(Protocol):
    """Refuses requests before the application sees them, as `load_shedding.LoadShedder` does."""

    def sheds(self, scope: HTTPScope) -> bool: ...
    async def refuse(self, scope: HTTPScope, send: ASGISendCallable) -> None: ...


class GatewayRequest(Request):
    """A request that knows whether its client has left."""

    receive: ASGIReceiveCallable
    _size = 0
    whole = False
    """Whether all of it has arrived."""
    _client_gone = False
    _watcher: asyncio.Task[None] | None = None

    def gone(self) -> asyncio.Future[None]:
        """Done when the client has left, or sends something that is not HTTP."""
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch())
        return self._watcher

    async def whole_body(self) -> bytes:
        """The body, or the part of it that had arrived when the client left.

        Raises RequestEntityTooLarge, and TimeoutError where it does not arrive in time.
        """
        async with asyncio.timeout(self.body_timeout):
            if self._watcher is None:  # else that takes in what arrives
                while not self.whole and max(self._size, self.content_length or 0) <= BODY_MAX:
                    await self._take()
            return cast(bytes, await self.body)

    def ended(self) -> None:
        """Stop watching the client."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # a cycle, by way of the frame in which it is cancelled

    async def _watch(self) -> None:
        while not self._client_gone:
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
            # No more of the body will arrive. A broken body looks like a client that left, and
            # its sender waits for an answer.
            self._client_gone = True
        self.whole = True
        self.body.set_complete()


def _in_time(send: ASGISendCallable) -> ASGISendCallable:
    """The same, but for a client that reads nothing for READ_SECONDS; it raises CutOffError."""

    async def send_in_time(message: ASGISendEvent) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                await send(message)
        except TimeoutError:
            raise CutOffError(f"The client read nothing for {READ_SECONDS:g} s") from None

    return send_in_time


Direct = Callable[[DirectRequest], Awaitable[Answer]]


class RequestConnection(ASGIHTTPConnection):
    """One request, whose handler goes on when the client leaves. Quart would cancel it.

    Otherwise a guess whose sender hangs up at once would not count. A handler that only waits so
    far looks at :meth:`GatewayRequest.gone` and does not begin.
    """

    app: GatewayApp

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer it; ends with the answer, whether or not the client is still there."""
        direct = self.app.direct.get((self.scope["method"], self.scope["path"]))
        if direct is not None:
            await self.app.answer_directly(direct, self.scope, receive, send)
            return
        request = cast(GatewayRequest, self._create_request_from_scope(send))
        request.receive = receive
        peer = self.app.begin(self.scope, request)
        request.gone()  # takes in the body, which Quart only waits for
        handler = asyncio.ensure_future(self.handle_request(request, send))
        self.app.in_hand.add(handler)
        ended = asyncio.get_running_loop().create_future()

        def end(handler: asyncio.Future[None]) -> None:
            self.app.in_hand.discard(handler)
            self.app.end(peer, request)
            request.ended()
            if not ended.done():
                ended.set_result(None)

        handler.add_done_callback(end)
        await ended
        handler.result()  # an error of its sending

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """Answer it, without a task and a timer for the sending."""
        response = await self.app.handle_request(request)
        if response.status_code >= 400:
            await responses.tell_problem(
                cast(Response, response), request.headers.get("Accept", "")
            )
        await self._send_response(send, response)

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        """Send it in two messages, where Quart needs three: our answers are whole."""
        body = response.response
        if not isinstance(body, DataBody):
            request = request_ids.current()
            assert request
            response.headers["X-Request-ID"] = request.value.hex()
            await super()._send_response(_in_time(send), response)
            return
        headers = responses.with_request_id(encode_headers(response.headers))
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        data = body.data[body.begin : body.end]
        begin = 0
        while len(data) - begin > PART_BYTES:  # the server keeps what is sent until it is read
            part = data[begin : (begin := begin + PART_BYTES)]
            await _in_time(send)({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": data[begin:], "more_body": False})


class GatewayApp(Quart):
    """A Quart application with the services that its resources need."""

    asgi_http_class = RequestConnection
    request_class = GatewayRequest

    def __init__(self, name: str, services: Services) -> None:
        super().__init__(name, static_folder=None)
        self.services = services
        self.load_shedder: Shedder | None = None
        self.direct: dict[tuple[str, str], Direct] = {}
        """Resources by method and path that are answered without Quart."""
        self.stopping = asyncio.Event()
        """Set when the process is to end: an answer that goes on ends then."""
        self.in_hand: set[asyncio.Future[None]] = set()
        """Requests that are not answered yet, whether or not their clients wait."""
        self.requests: dict[Peer, DirectRequest | GatewayRequest] = {}
        """The requests that have no answer yet, by the other ends of their connections."""
        self.config["MAX_CONTENT_LENGTH"] = BODY_MAX
        self.config["RESPONSE_TIMEOUT"] = None  # nothing is awaited: the server has all at once
        self.config["BODY_TIMEOUT"] = min(BODY_SECONDS, services.settings.deadline_seconds)
        self.register_error_handler(RequestError, _api_error)
        self.register_error_handler(HTTPException, _http_error)
        self.register_error_handler(Exception, _unexpected)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a request, or refuse it before anything is made for it."""
        if scope["type"] != "http":
            await self.asgi_app(scope, receive, send)
            return
        scope["path"] = scope["path"] or "/"  # CONNECT has none
        request_ids.begin()
        try:
            if self.load_shedder and self.load_shedder.sheds(scope):
                await self.load_shedder.refuse(scope, send)
            else:
                await self.asgi_app(scope, receive, send)
        except CutOffError as error:
            logger.warning("An answer was cut off", path=scope["path"], reason=str(error))
            raise
        except BaseException:
            # The server answers 500 by itself, and says nothing of why.
            logger.exception(UNEXPECTED, path=scope["path"])
            raise

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """What finds a request's rule: by its path alone, as no rule of ours has a host.

        Quart would encode the Host header as a name (IDNA) and decode the query as UTF-8: what is
        neither would be an answer 500 and a traceback in the log for each such request.
        """
        if request is None:
            return super().create_url_adapter(request)
        method = cast(HTTPScope, request.scope)["method"]
        if method != request.method:
            method = ""  # pOST is no POST (RFC 9110, 9.1), but Werkzeug takes it for one
        return self.url_map.bind(
            "localhost",
            "/",
            "",
            request.scheme,
            default_method=method,
            path_info=routed(request.scope.get("raw_path"), request.scope["path"]),
        )

    def begin(self, scope: HTTPScope, request: DirectRequest | GatewayRequest) -> Peer:
        """Note that this request is in hand; the peer, under which it is noted."""
        host, port = scope.get("client") or ("", "")
        peer = host, str(port)
        self.requests[peer] = request
        return peer

    def end(self, peer: Peer, request: DirectRequest | GatewayRequest) -> None:
        """It has its answer. The next request of its connection may have begun already."""
        if self.requests.get(peer) is request:
            del self.requests[peer]

    def busy(self) -> set[Peer]:
        """The peers whose requests have arrived whole and have no answer yet."""
        return {peer for peer, request in self.requests.items() if request.whole}

    async def answer_directly(
        self, direct: Direct, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a request without Quart's contexts, hooks, signals, sessions and objects.

        A direct resource uses none of these, and they are more than half of what an answer costs.
        Nothing cancels it: it goes on when the client leaves.
        """
        in_hand = asyncio.current_task()
        assert in_hand
        request = DirectRequest(in_hand.get_loop(), scope, receive, self.config["BODY_TIMEOUT"])
        self.in_hand.add(in_hand)
        peer = self.begin(scope, request)
        try:
            try:
                answer = await direct(request)
            except RequestError as error:
                answer = responses.plain_refusal(error)
            except Exception as error:
                answer = _failure(scope["path"], error)
            if answer.status >= 400:
                answer = responses.problem(answer, request.header(b"accept"))
            await responses.send(answer, send)
        finally:
            self.in_hand.discard(in_hand)
            self.end(peer, request)
            request.ended()


def services() -> Services:
    """The services of the current application."""
    return cast(GatewayApp, current_app).services


def current_request() -> GatewayRequest:
    """The current request."""
    return cast(GatewayRequest, request)


async def _api_error(error: RequestError) -> Response:
    return responses.refusal(error)


async def _http_error(error: HTTPException) -> Response:
    sentences = {
        404: "There is nothing at this path",
        405: "This path has no such method",
    }
    sentence = sentences.get(error.code or 500) or error.description or error.name
    code = error.name.lower().replace(" ", "_")
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return responses.error(error.code or 500, sentence, code, headers)


async def _unexpected(error: Exception) -> Response:
    return responses.response(_failure(request.path, error))


def _failure(path: str, error: Exception) -> Answer:
    logger.error(UNEXPECTED, path=path, exc_info=error)
    return responses.plain_error(
        500, "Something unexpected went wrong; the log says what", "unexpected"
    )
