"""An ASGI request that is read before the view reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cerrojo_client.login_form import BODY_MAX, cut_off

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def header(scope: Message, name: bytes) -> str:
    """All values of this header: of two content types the view might read the other one."""
    return b",".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


async def read_body(receive: Receive) -> bytes:
    """The whole of it, or enough to see that it is too long; Settled where it was cut off."""
    body, more = b"", True
    while more and len(body) <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise cut_off()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """Gives the view the body that was read, and what comes after it."""
    messages = [{"type": "http.request", "body": body}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
