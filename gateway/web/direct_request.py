"""A request as the server has it, for a resource that is answered without Quart."""

from __future__ import annotations

import asyncio

from hypercorn.typing import ASGIReceiveCallable, HTTPScope
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.web.json_body import BODY_MAX


class DirectRequest:
    """One request; its parts are looked at when they are needed."""

    __slots__ = ("_body", "_body_seconds", "_loop", "_receive", "_watcher", "scope", "whole")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        body_seconds: float,
    ) -> None:
        """The body must arrive within this time."""
        self._loop = loop
        self.scope = scope
        self._receive = receive
        self._body_seconds = body_seconds
        self._body = bytearray()
        self.whole = False
        """Whether all of it has arrived."""
        self._watcher: asyncio.Task[None] | None = None

    @property
    def mimetype(self) -> str:
        """The type of the body, as its header has it, without parameters."""
        said = self.header(b"content-type") or b""
        return said.partition(b";")[0].strip().lower().decode("latin-1")

    def header(self, name: bytes) -> bytes | None:
        """The first header of this name, which is in small letters; None where there is none."""
        for found, value in self.scope["headers"]:
            if found == name:
                return value
        return None

    async def whole_body(self) -> bytes:
        """The body, or the part of it that had arrived when the client left.

        Raises RequestEntityTooLarge, and TimeoutError where it does not arrive in time.
        """
        length = self.header(b"content-length")
        if length and int(length) > BODY_MAX:
            raise RequestEntityTooLarge
        async with asyncio.timeout(self._body_seconds):
            while not self.whole:
                await self._take()
                if len(self._body) > BODY_MAX:
                    raise RequestEntityTooLarge
        return bytes(self._body)

    def gone(self) -> asyncio.Future[None]:
        """Done when the client has left, or sends something that is not HTTP.

        To be called when the whole body has arrived.
        """
        if self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())
        return self._watcher

    def ended(self) -> None:
        """Stop watching the client."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # a cycle, by way of the frame in which it is cancelled

    async def _watch(self) -> None:
        while (await self._receive())["type"] == "http.request":
            pass

    async def _take(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":
            self._body += message.get("body", b"")
            self.whole = not message.get("more_body", False)
        else:
            # No more of it will arrive. A broken body looks like a client that left, and its
            # sender waits for an answer.
            self.whole = True
