"""A client that costs little: bare HTTP/1.1 over kept connections, in one event loop."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

CLOSED = 0  # the status of a request whose connection broke


class Sample(NamedTuple):
    """One answer."""

    status: int
    seconds: float
    retry_after: bool


class Samples(list[Sample]):
    """The answers of one phase."""

    def statuses(self) -> Counter[int]:
        """How often each was answered."""
        return Counter(sample.status for sample in self)

    def only(self, status: int) -> Samples:
        """Those with this status."""
        return Samples(sample for sample in self if sample.status == status)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the answers took at most; not a number if there are none."""
        ordered = sorted(sample.seconds for sample in self)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def post(path: str, user: str, password: str) -> bytes:
    """A request, as its bytes."""
    body = json.dumps({"user": user, "pass": password}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bool]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bool]]:
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        head = head.lower()
        _, _, length = head.partition(b"content-length:")
        if found and len(body) >= int(length.split(b"\r\n", 1)[0]):
            self._received = b""
            self._settle(int(head[9:12]), b"retry-after:" in head)

    def connection_lost(self, error: Exception | None) -> None:
        self._settle(CLOSED, False)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _settle(self, status: int, retry_after: bool) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result((status, retry_after))


class Load:
    """Sends requests to one port and notes how long their answers take."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[_Connection] = []

    async def closed_loop(
        self, clients: int, seconds: float, next_: Callable[[], bytes]
    ) -> Samples:
        """So many clients, each of which asks again as soon as it is answered."""
        samples = Samples()
        until = time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < until:
                await self._ask(next_(), samples)

        await asyncio.gather(*(client() for _ in range(clients)))
        return samples

    async def open_loop(self, rate: float, seconds: float, next_: Callable[[], bytes]) -> Samples:
        """So many requests a second, whatever becomes of those before; returns with the last."""
        samples = Samples()
        start = time.monotonic()
        sent = 0
        tasks: set[asyncio.Task[None]] = set()
        while (now := time.monotonic() - start) < seconds:
            for _ in range(math.ceil(rate * now) - sent):
                task = asyncio.ensure_future(self._ask(next_(), samples))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.005)
        if tasks:
            await asyncio.wait(tasks)
        return samples

    async def each(self, requests: Sequence[bytes], at_once: int = 16) -> Samples:
        """Each of these once."""
        samples = Samples()
        left = iter(requests)

        async def client() -> None:
            for request in left:
                await self._ask(request, samples)

        await asyncio.gather(*(client() for _ in range(at_once)))
        return samples

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _ask(self, request: bytes, samples: Samples) -> None:
        started = time.monotonic()
        try:
            while self._idle and not self._idle[-1].usable:  # idle for too long
                self._idle.pop()
            connection = self._idle.pop() if self._idle else await self._connect()
            status, retry_after = await connection.ask(request)
        except OSError:
            status, retry_after = CLOSED, False
        if status != CLOSED:
            self._idle.append(connection)
        samples.append(Sample(status, time.monotonic() - started, retry_after))

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection
