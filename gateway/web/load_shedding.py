"""Refuses logins and attempts that would wait in vain, before they are read."""

from __future__ import annotations

import asyncio

from hypercorn.typing import ASGISendCallable, HTTPScope

from gateway import metrics
from gateway.errors import OverloadedError
from gateway.services import LoginServices
from gateway.web import responses
from gateway.web.errors import refusal_of
from processes.scheduling import give_way

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

TOGETHER_SECONDS = 0.05
"""Refusals that are held are sent with all others of this time: to wake for each, among hashes that
have the processors, takes more than the answers do [measured]."""


class LoadShedder:
    """The load shedder of the login port."""

    def __init__(self, services: LoginServices) -> None:
        self._services = services
        error = OverloadedError("Too many logins are waiting; try again later")
        self._result = refusal_of(error).result
        self._answer = responses.plain_refusal(error)
        self._undecided = responses.undecided(error)
        self._held = 0
        self._sending = asyncio.Event()
        self._gathered_until = float("-inf")

    def sheds(self, scope: HTTPScope) -> bool:
        """Whether this request would wait in vain, for any account."""
        if scope["method"] != "POST" or scope["path"] not in _COUNTERS:
            return False
        if scope["path"] == _WITHOUT_A_HASH:
            return self._services.verdict_client.waiting >= self._services.settings.waiting
        client = scope["client"]
        origin = self._services.sources.of(client[0] if client else None, scope["headers"])
        network = self._services.source_limits.network(origin.address)
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
        loop = asyncio.get_running_loop()
        if loop.time() >= self._gathered_until:
            self._sending = asyncio.Event()
            self._gathered_until = loop.time() + TOGETHER_SECONDS
            loop.call_later(HELD_SECONDS, self._sending.set)
        self._held += 1
        if self._held == 1:  # hashes have the processors, and this is what takes them
            give_way(True)
        try:
            await self._sending.wait()
        finally:
            self._held -= 1
            if not self._held:
                give_way(False)
