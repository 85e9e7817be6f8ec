"""Requests as the bytes that they are, for what a well-behaved client does not send."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPResponse
from urllib.parse import urlsplit

from multidict import CIMultiDict

from tests.acceptance.system import Answer
from tests.harness.waiting import NOT_HEARD

PATIENCE_SECONDS = 90.0  # for an answer
JSON = "application/json"


def credentials(
    user: object = "anna",
    password: object = "a wrong password",  # noqa: S107  # nobody's
) -> bytes:
    """A body for /login and /register."""
    return json.dumps({"user": user, "pass": password}).encode()


def request(
    method: str,
    path: str,
    body: bytes = b"",
    content_type: str | None = JSON,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A request; its length is announced, unless these headers do."""
    lines = {"Host": "localhost", "Content-Length": str(len(body)), **(headers or {})}
    if "Transfer-Encoding" in lines:
        del lines["Content-Length"]
    if content_type is not None and "Content-Type" not in lines:
        lines["Content-Type"] = content_type
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def chunked(body: bytes, size: int = 65_536) -> bytes:
    """The body in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def connect(url: str) -> socket.socket:
    """A connection to this port."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), PATIENCE_SECONDS)


def exchange(url: str, data: bytes) -> Answer:
    """Send this until an answer comes, and read it; again where its process stood still."""
    while (answer := _exchange(url, data)).status == 503 and any(
        said in str(answer.body) for said in ("stood still", NOT_HEARD)
    ):
        pass
    return answer


def _exchange(url: str, data: bytes) -> Answer:
    with connect(url) as connection:
        rest = memoryview(data)
        with suppress(ConnectionError):  # it wants no more; the answer says why
            while rest and not select.select([connection], [connection], [])[0]:
                rest = rest[connection.send(rest) :]
        response = HTTPResponse(connection)
        response.begin()
        body = response.read()
        return Answer(
            response.status, json.loads(body) if body else None, CIMultiDict(response.getheaders())
        )


def leave(connection: socket.socket, *, reset: bool) -> None:
    """Close a connection without a look at the answer."""
    if reset:  # RST in the place of FIN
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_and_leave(url: str, data: bytes) -> None:
    """Send this and close the connection at once, in the orderly way.

    After a reset at once the gateway may never see that there was a request.
    """
    with connect(url) as connection:
        connection.sendall(data)
