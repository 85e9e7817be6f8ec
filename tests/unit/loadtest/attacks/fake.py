"""A login port in memory, for attacks that have to notice what is wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from loadtest.attacks.attack import Outcome, Port, System

Reply = tuple[int, dict[str, str], object]


class FakePort:
    """Registers everybody, and reveals wrong passwords of each name up to a threshold."""

    def __init__(self, threshold: int = 5, *, blocks: bool = True) -> None:
        """`blocks`: whether a right password behind the threshold is refused."""
        self.threshold = threshold
        self.blocks = blocks
        self.passwords: dict[str, str] = {}
        self.wrong: Counter[str] = Counter()

    def reply(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The status, further headers, and the body of an answer.

        `headers` have the method and the peer's address as well.
        """
        said = json.loads(body or b"{}")
        user, password = said["user"], said["pass"]
        if path == "/register":
            self.passwords[user] = password
            return 201, {}, {}
        return self.login(user, password, headers)

    def login(self, user: str, password: str, _: Mapping[str, str]) -> Reply:
        """The answer to a login."""
        right = self.passwords.get(user) == password
        if self.wrong[user] >= self.threshold and not (right and not self.blocks):
            return 429, {}, {"error": "Blocked"}
        if right:
            return 200, {}, {"success": True}
        self.wrong[user] += 1
        return 401, {}, {"error": "Wrong password"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        headers |= {"method": first.split()[0], "peer": writer.get_extra_info("peername")[0]}
        body = await reader.readexactly(int(headers["content-length"]))
        status, more, said = self.reply(first.split()[1], headers, body)
        answer = json.dumps(said).encode()
        more = {**more, "Content-Length": str(len(answer))}
        written = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{written}\r\n".encode() + answer)
        writer.close()


class Server(Protocol):
    """Serves connections, as `FakePort` does."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...


def attacked(
    fake: Server, attack: Callable[[System], Awaitable[Outcome]], block_token: str = ""
) -> Outcome:
    """What comes of this attack on it."""

    connections: list[tuple[asyncio.StreamWriter, asyncio.Future[None]]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append((writer, asyncio.ensure_future(fake.serve(reader, writer))))

    async def run() -> Outcome:
        async with await asyncio.start_server(
            connected, "127.0.0.1", 0, backlog=512, limit=2**20
        ) as server:
            port = Port("127.0.0.1", server.sockets[0].getsockname()[1])
            try:
                return await attack(System(port, port, block_token=block_token))
            finally:
                # Before the server closes: a connection that it then accepts is never closed.
                await asyncio.sleep(0)
                while left := asyncio.all_tasks() - {asyncio.current_task()}:
                    for writer, serving in connections:
                        writer.transport.abort()
                        serving.cancel()
                    await asyncio.wait(left)

    return asyncio.run(run())
