"""What goes wrong around an answer is in the log: the server answers 500 by itself."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from quart import Response
from structlog.testing import capture_logs

from gateway.web.app import PART_BYTES, UNEXPECTED, GatewayApp
from gateway.web.direct_request import DirectRequest
from gateway.web.responses import Answer
from settings import Settings


class BrokenError(Exception):
    """A fault of the code, or of the server below it."""


async def receive() -> Any:
    """Nothing, as from a client that waits."""
    await asyncio.Event().wait()


async def send(_: object) -> None:
    """Fail, as the server does with an answer that is none."""
    raise BrokenError


def sheds(_: object) -> bool:
    """Fail before the application."""
    raise BrokenError


async def leave(_: DirectRequest) -> Answer:
    """End as a task does that somebody cancels."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("path", "shedder", "error"),
    [
        ("/quart", None, BrokenError),
        ("/nothing", None, BrokenError),
        ("/direct", None, asyncio.CancelledError),
        ("/quart", SimpleNamespace(sheds=sheds), BrokenError),
    ],
    ids=["in sending", "in sending an error", "cancelled", "before the application"],
)
def test_a_failure_that_leaves_no_answer_is_logged(
    path: str, shedder: Any, error: type[BaseException]
) -> None:
    """Else a 500 is all that anybody ever sees of it."""
    services: Any = SimpleNamespace(settings=Settings())
    app = GatewayApp("login", services)
    app.load_shedder = shedder
    app.direct["GET", "/direct"] = leave

    @app.get("/quart")
    async def quart() -> Response:
        return Response(b"{}")

    scope: Any = {
        **{"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []},
        **{"scheme": "http", "http_version": "1.1", "client": ("192.0.2.7", "4711")},
    }
    with capture_logs() as logs, pytest.raises(error):
        asyncio.run(app(scope, receive, send))
    assert [(line["event"], line["path"]) for line in logs] == [(UNEXPECTED, path)]
    assert not app.in_hand
    assert not app.requests


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/quart", 200), ("pOST", "/quart", 405), ("POST", "//quart", 404)],
)
def test_what_werkzeug_takes_for_the_same_is_another_one(
    method: str, path: str, status: int
) -> None:
    """It would do so behind the back of what answers or sheds without Quart."""
    [start, *_] = answered(Response(b"{}"), method, path)
    assert start["status"] == status


def test_a_long_answer_is_handed_over_in_parts() -> None:
    """The server keeps what it has until the client reads it, and many may read nothing."""
    _, *parts = answered(Response(b"x" * (2 * PART_BYTES + 1)))
    assert [len(part["body"]) for part in parts] == [PART_BYTES, PART_BYTES, 1]
    assert [part["more_body"] for part in parts] == [True, True, False]


def answered(response: Response, method: str = "POST", path: str = "/quart") -> list[Any]:
    """The messages of this answer to a request."""
    services: Any = SimpleNamespace(settings=Settings())
    app = GatewayApp("login", services)
    sent = []

    @app.post("/quart")
    async def quart() -> Response:
        return response

    async def note(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        **{"type": "http", "method": method, "path": path, "query_string": b"", "headers": []},
        **{"scheme": "http", "http_version": "1.1", "client": ("192.0.2.7", "4711")},
    }
    asyncio.run(app(scope, receive, note))
    return sent
