"""Refuses logins and attempts that would wait in vain, before they are read."""

from __future__ import annotations

import asyncio

from hypercorn.typing import ASGISendCallable, HTTPScope

from gateway import metrics
from gateway.errors import OverloadedError
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.errors import refusal_of

_COUNTERS = {
    "/login": metrics.LOGINS,
    "/register": metrics.REGISTRATIONS,
    "/password": metrics.PASSWORD_CHANGES,
    "/attempts": metrics.SERVICE_ATTEMPTS,
}
_WITHOUT_A_HASH = "/attempts"

HELD_SECONDS = 1.0
"""So long a source waits for its refusal that has filled its part of the room: what the answer asks
for. Refused at once, a few hundred connections that ask again at once take all of this process's
time, and others wait for that, who have room."""


class LoadShedder:
    """The load shedder of the login port."""

    def __init__(self, services: LoginServices) -> None:
        self._services = services
        error = OverloadedError("Too many logins are waiting; try again later")
        self._result = refusal_of(error).result
        self._answer = responses.plain_refusal(error)
        self._undecided = responses.undecided(error)
        self._held = 0

    def sheds(self, scope: HTTPScope) -> bool:
        """Whether this request would wait in vain, for any account."""
        if scope["method"] != "POST" or scope["path"] not in _COUNTERS:
            return False
        if scope["path"] == _WITHOUT_A_HASH:
            return self._services.verdict_client.waiting >= self._services.settings.waiting
        client = scope["client"]
        address = self._services.sources.of(client[0] if client else None, scope["headers"])
        network = self._services.source_limits.network(address)
        return self._services.hash_client.overloaded(network)

    async def refuse(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        """Answer with 503: at once where there is no room for anybody, else a moment later."""
        _COUNTERS[scope["path"]].labels(self._result).inc()
        without = scope["path"] == _WITHOUT_A_HASH
        if not without and self._held < self._services.settings.waiting:
            await self._hold()
        answer = self._undecided if without else self._answer
        accept = next((value for name, value in scope["headers"] if name == b"accept"), None)
        await responses.send(responses.problem(answer, accept), send)

    async def _hold(self) -> None:
        if self._services.hash_client.overloaded(""):  # nobody's: it has nothing waiting
            return
        self._held += 1
        try:
            await asyncio.sleep(HELD_SECONDS)
        finally:
            self._held -= 1
