"""Request smuggling is noticed where a server falls for it."""

from __future__ import annotations

import asyncio
import re

import pytest

from loadtest.attacks import heads
from loadtest.attacks.attack import Port, System

ANSWER = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


async def naive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Finds a request wherever a line looks like one, as if no request had a body."""
    data = await reader.read(65_536)
    writer.write(ANSWER * len(re.findall(rb"HTTP/1\.[01]\r\n", data)))
    writer.close()


async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers once, whatever comes."""
    await reader.read(65_536)
    writer.write(ANSWER)
    writer.close()


@pytest.mark.parametrize(("server", "held"), [(naive, False), (strict, True)])
def test_a_second_answer_is_a_broken_promise(server, held: bool) -> None:
    """Each shape has a request in it that no program may take for one."""

    async def attack() -> heads.Outcome:
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            port = Port("127.0.0.1", listening.sockets[0].getsockname()[1])
            return await heads.smuggling(System(port, port))

    outcome = asyncio.run(attack())
    assert outcome.held is held
    if not held:
        assert all(name in outcome.happened for name in heads.SHAPES)
