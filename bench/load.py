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

OPEN_LOOP_STEP = 0.005
"""Seconds between looks at what is to be sent by now."""

OnAnswer = Callable[[int, bytes], None]


class Sample(NamedTuple):
    """One answer."""

    status: int
    seconds: float
    at: float
    """When it came, on the monotonic clock."""
    head: bytes

    @property
    def retry_after(self) -> bool:
        """Whether it says when to come again."""
        return b"retry-after:" in self.head.lower()


class Samples(list[Sample]):
    """The answers of one phase."""

    def statuses(self) -> Counter[int]:
        """How often each was answered."""
        return Counter(sample.status for sample in self)

    def only(self, status: int) -> Samples:
        """Those with this status."""
        return Samples(sample for sample in self if sample.status == status)

    def within(self, start: float, end: float) -> Samples:
        """Those that came in this time."""
        return Samples(sample for sample in self if start <= sample.at < end)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the answers took at most; not a number if there are none."""
        return percentile([sample.seconds for sample in self], share)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed; not a number if there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def post(path: str, user: str, password: str) -> bytes:
    """A request, as its bytes."""
    body = json.dumps({"user": user, "pass": password}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str) -> bytes:
    """A request, as its bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""
        self._on_answer: OnAnswer | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, on_answer: OnAnswer) -> None:
        """`on_answer` hears the status, or CLOSED, and the head of the answer."""
        assert self._transport
        self._on_answer = on_answer
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head, found, body = data.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if found and len(body) >= int(length.split(b"\r\n", 1)[0]):
            self._received = b""
            self._settle(int(head[9:12]), head)
        else:
            self._received = data

    def connection_lost(self, error: Exception | None) -> None:
        self._settle(CLOSED, b"")

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _settle(self, status: int, head: bytes) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer:
            on_answer(status, head)


class _Client:
    """Asks again as soon as it is answered, on one connection, until it is time or it breaks."""

    def __init__(
        self, connection: _Connection, until: float, next_: Callable[[], bytes], samples: Samples
    ) -> None:
        self._connection = connection
        self._until = until
        self._next = next_
        self._samples = samples
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self._started = time.monotonic()
        self._connection.ask(self._next(), self._answered)
        await self._end

    def _answered(self, status: int, head: bytes) -> None:
        now = time.monotonic()
        self._samples.append(Sample(status, now - self._started, now, head))
        if status == CLOSED or now >= self._until:
            self._end.set_result(None)
        else:
            self._started = now
            self._connection.ask(self._next(), self._answered)


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
                try:
                    connection = await self._connection()
                except OSError:
                    samples.append(Sample(CLOSED, 0.0, time.monotonic(), b""))
                    continue
                await _Client(connection, until, next_, samples).run()
                self._keep(connection)

        await asyncio.gather(*(client() for _ in range(clients)))
        return samples

    async def open_loop(self, rate: float, seconds: float, next_: Callable[[], bytes]) -> Samples:
        """So many requests a second, whatever becomes of those before; returns with the last."""
        samples = Samples()
        answered = asyncio.Event()

        def note(sample: Sample) -> None:
            samples.append(sample)
            answered.set()

        start = time.monotonic()
        sent = 0
        connecting: set[asyncio.Task[None]] = set()
        while (now := time.monotonic() - start) < seconds:
            for _ in range(math.ceil(rate * now) - sent):
                sent += 1
                if (connection := self._idle_connection()) is not None:
                    self._send(connection, time.monotonic(), next_(), note)
                else:
                    task = asyncio.ensure_future(self._connect_and_send(next_(), note))
                    connecting.add(task)
                    task.add_done_callback(connecting.discard)
            await asyncio.sleep(OPEN_LOOP_STEP)
        while len(samples) < sent:
            answered.clear()
            await answered.wait()
        return samples

    async def each(self, requests: Sequence[bytes], at_once: int = 16) -> Samples:
        """Each of these once."""
        samples = Samples()
        left = iter(requests)

        async def client() -> None:
            for request in left:
                samples.append(await self.ask(request))

        await asyncio.gather(*(client() for _ in range(at_once)))
        return samples

    async def ask(self, request: bytes) -> Sample:
        """One request."""
        answered: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        await self._connect_and_send(request, answered.set_result)
        return await answered

    async def _connect_and_send(self, request: bytes, note: Callable[[Sample], None]) -> None:
        started = time.monotonic()
        try:
            connection = await self._connection()
        except OSError:
            now = time.monotonic()
            note(Sample(CLOSED, now - started, now, b""))
        else:
            self._send(connection, started, request, note)

    def _send(
        self,
        connection: _Connection,
        started: float,
        request: bytes,
        note: Callable[[Sample], None],
    ) -> None:
        def answered(status: int, head: bytes) -> None:
            now = time.monotonic()
            self._keep(connection)
            note(Sample(status, now - started, now, head))

        connection.ask(request, answered)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _idle_connection(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:  # else it was idle for too long
                return connection
        return None

    async def _connection(self) -> _Connection:
        if (connection := self._idle_connection()) is not None:
            return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection

    def _keep(self, connection: _Connection) -> None:
        if connection.usable:
            self._idle.append(connection)
