"""`python -m bench.timed_gateway login N`: a login process that says what its hash took.

Only here: a client of the real gateway is told nothing about the time of a hash.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from hypercorn.typing import ASGISendCallable, ASGISendEvent
from quart import Request

from gateway import app, hashing, serve, services

T = TypeVar("T")

_hash_seconds: ContextVar[float] = ContextVar("hash_seconds")


class TimedHasher(hashing.Hasher):
    """Notes the wall time that a request's hash took in its thread."""

    async def _run(self, work: Callable[[], T]) -> T:
        def timed() -> tuple[T, float]:
            started = time.monotonic()
            result = work()
            return result, time.monotonic() - started

        result, seconds = await super()._run(timed)
        _hash_seconds.set(seconds)
        return result


class TimedConnection(app.Connection):
    """Says it in a header. A request is a task, and so has a value of its own."""

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """As without, and the header."""

        async def send_timed(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start" and (seconds := _hash_seconds.get(0.0)):
                timing = f"hash;dur={seconds * 1000:.3f}".encode()
                event["headers"] = [*event["headers"], (b"server-timing", timing)]
            await send(event)

        await super().handle_request(request, send_timed)


if __name__ == "__main__":
    vars(services)["Hasher"] = TimedHasher
    app.GatewayApp.asgi_http_class = TimedConnection
    sys.exit(serve.main())
