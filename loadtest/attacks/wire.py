"""Requests and answers as bytes, over connections from any address of this host."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loadtest.attacks.attack import Port

MOMENT_SECONDS = 0.15
PATIENCE_SECONDS = 30.0
"""For one answer, in which nothing is decided by time."""

NOT_HEARD = b"Nobody can decide about this account now"
"""Said before anything is done, by a process that has not heard of a worker for two seconds.

On a busy machine it stood still for so long.
"""


@dataclass(frozen=True)
class Answer:
    """One answer of a port. Status 0 is none: the connection ended, or nothing came in time."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def header_names(self) -> tuple[str, ...]:
        """In the order in which they came."""
        return tuple(name for name, _ in self.headers)


NONE = Answer(0)


class Connection:
    """A connection to a port; as a context it is closed at the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: Port, source: str | None = None) -> Connection:
        """Connect from this address. Raises OSError, and TimeoutError after `PATIENCE_SECONDS`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            local = (source, 0) if source else None
            reader, writer = await asyncio.open_connection(
                port.host, port.number, local_addr=local, limit=2**20
            )
        return cls(reader, writer)

    async def __aenter__(self) -> Connection:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    async def send(self, data: bytes) -> bool:
        """Send this; whether the other end still took it."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._writer.drain()
        except OSError:
            return False
        return True

    async def answer(self, seconds: float = PATIENCE_SECONDS) -> Answer:
        """The next answer within these seconds, or `NONE`."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
                headers = tuple(
                    (name.lower(), value.strip())
                    for name, _, value in (line.partition(":") for line in lines)
                )
                length = int(dict(headers).get("content-length", "0"))
                body = await self._reader.readexactly(length)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            return NONE
        took = asyncio.get_running_loop().time() - began
        return Answer(int(first.split()[1]), headers, body, took)

    async def rest(self, seconds: float) -> bytes | None:
        """All that comes until the end; None where there is no end in this time.

        After a moment the other end is told that nothing more is sent. Told at once, it would take
        the client for one that leaves.
        """
        said = bytearray()
        try:
            async with asyncio.timeout(seconds):
                with suppress(TimeoutError):
                    async with asyncio.timeout(MOMENT_SECONDS):
                        said += await self._reader.read(65_536)
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                while some := await self._reader.read(65_536):
                    said += some
        except TimeoutError:
            return None
        except OSError:
            pass
        return bytes(said)

    async def ended(self, seconds: float) -> bool:
        """Whether the other end closes within these seconds; what it says before is dropped."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self, *, reset: bool = False) -> None:
        """Close it, with a RST in the place of a FIN where `reset`; what is not sent yet is not."""
        if reset:
            with suppress(OSError):
                self._writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        self._writer.transport.abort()


def request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A well-formed request, but for what `headers` may have."""
    lines = {"Host": "localhost", "Content-Type": "application/json"}
    if "Transfer-Encoding" not in (headers or {}):
        lines["Content-Length"] = str(len(body))
    lines.update(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def credentials(user: str, password: str) -> bytes:
    """A body for /login and /register."""
    return json.dumps({"user": user, "pass": password}, ensure_ascii=False).encode()


async def ask(
    port: Port,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    source: str | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> Answer:
    """The answer to one request on a connection of its own, or `NONE` after these seconds.

    `seconds` of the answer begin before the connection is made. Where it is `NOT_HEARD`, it is
    asked for again.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = Answer(503, body=NOT_HEARD)
    try:
        async with asyncio.timeout(seconds):
            while answer.status == 503 and NOT_HEARD in answer.body:
                async with await Connection.open(port, source) as connection:
                    await connection.send(request(method, path, body, headers))
                    answer = await connection.answer(seconds)
                    connection.close(reset=True)  # else its port stays taken for a minute
    except OSError:  # TimeoutError among them
        return NONE
    return Answer(answer.status, answer.headers, answer.body, loop.time() - began)


async def log_in(
    port: Port,
    user: str,
    password: str,
    *,
    source: str | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> Answer:
    """The answer to a login."""
    return await ask(
        port, "POST", "/login", credentials(user, password), source=source, seconds=seconds
    )
