"""Refuses what has no chance before anything is spent on it, even on reading it."""

from __future__ import annotations

from hypercorn.typing import ASGISendCallable, HTTPScope
from quart.utils import encode_headers

from gateway import answers, metrics
from gateway.errors import OverloadedError
from gateway.services import LoginServices

_COUNTERS = {"/login": metrics.LOGINS, "/register": metrics.REGISTRATIONS}


class Door:
    """Of the login port."""

    def __init__(self, services: LoginServices) -> None:
        self._services = services
        error = OverloadedError("Too many logins are waiting; try again later")
        self._body = answers.encode({"error": str(error)})
        response = answers.answer(error.status, self._body, error.headers)
        self._status = error.status
        self._headers = encode_headers(response.headers)
        self._result = error.result

    def is_closed(self, scope: HTTPScope) -> bool:
        """Whether this request would wait in vain, whoever sent it."""
        return (
            scope["method"] == "POST" and scope["path"] in _COUNTERS and self._services.overloaded()
        )

    async def refuse(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        """Answer with 503."""
        _COUNTERS[scope["path"]].labels(self._result).inc()
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
