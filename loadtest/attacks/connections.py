"""Attacks with connections that ask nothing, or never come to the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from loadtest.attacks.attack import Attack, Outcome, System
from loadtest.attacks.victim import PROMISE, Watch
from loadtest.attacks.wire import Connection, request

MANY = 14_000
"""More than two login processes accept."""

AT_ONCE = 200  # connections that are being opened: more overrun the backlog by themselves
WATCHED_LOGINS = 20
DRIPPING = 200
DRIP_SECONDS = 0.5
UNREAD = 200
UNREAD_SECONDS = 3.0
PIPELINED = 2_000
POURING = 50
CHUNKS = 5_000  # of 4 KB

Hold = Callable[[Connection], Awaitable[object]]


async def idle(system: System) -> Outcome:
    """Open connections and say nothing."""
    return await _held(system, b"")


async def half_open(system: System) -> Outcome:
    """Open connections and never finish the first line."""
    return await _held(system, b"POST /login HTT")


async def slow_bodies(system: System) -> Outcome:
    """Send whole heads, and never the whole body that they announce."""
    return await _held(
        system, request("POST", "/login", b'{"user": "an', {"Content-Length": "100"})
    )


async def slow_heads(system: System) -> Outcome:
    """Send a header every half second, on and on; each connection must be ended."""
    ended = 0

    async def drip(connection: Connection) -> None:
        nonlocal ended
        await connection.send(b"POST /login HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(60):  # for half a minute, three times as long as it may take
            if await connection.ended(DRIP_SECONDS):
                ended += 1
                return
            if not await connection.send(b"X-%d: 1\r\n" % number):
                ended += 1
                return

    async with Watch(system) as watch, asyncio.TaskGroup() as group:
        for _ in range(DRIPPING):
            group.create_task(_with_connection(system, drip))
        await watch.victim.logged_in(WATCHED_LOGINS)
    happened = f"{ended} of {DRIPPING} were ended; {watch}"
    return Outcome(DRIPPING, happened, watch.held and ended == DRIPPING)


async def unread_answers(system: System) -> Outcome:
    """Ask thousands of things at once on each connection, and read none of the answers."""
    asked = request("GET", "/nothing") * PIPELINED

    async def ask(connection: Connection) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await connection.send(asked)
        await asyncio.sleep(UNREAD_SECONDS)  # it is held, and nothing is read

    async with Watch(system) as watch, asyncio.TaskGroup() as group:
        for _ in range(UNREAD):
            group.create_task(_with_connection(system, ask))
        await watch.victim.logged_in(WATCHED_LOGINS)
    return Outcome(UNREAD * PIPELINED, str(watch), watch.held)


async def endless_bodies(system: System) -> Outcome:
    """Send bodies that never end as fast as they are taken; each must be refused and ended."""
    head = request("POST", "/login", headers={"Transfer-Encoding": "chunked"})
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    refused = 0

    async def pour(connection: Connection) -> None:
        nonlocal refused
        await connection.send(head)
        for _ in range(CHUNKS):
            if not await connection.send(chunk):
                break
        answer = await connection.answer(5.0)
        refused += answer.status in (0, 413)

    async with Watch(system) as watch, asyncio.TaskGroup() as group:
        for _ in range(POURING):
            group.create_task(_with_connection(system, pour))
        await watch.victim.logged_in(WATCHED_LOGINS)
    held = watch.held and refused == POURING
    return Outcome(POURING, f"{refused} of {POURING} refused; {watch}", held)


async def _held(system: System, beginning: bytes) -> Outcome:
    """Open many, each with this beginning, and hold them while the victim logs in."""
    opened: list[Connection] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turns:
            try:
                connection = await Connection.open(system.login, system.source())
            except OSError:  # refused, which is an answer as well
                return
            await connection.send(beginning)
            opened.append(connection)

    async with Watch(system) as watch:
        await asyncio.gather(*(one() for _ in range(MANY)))
        await watch.victim.logged_in(WATCHED_LOGINS)
    for connection in opened:
        connection.close(reset=True)
    return Outcome(len(opened), str(watch), watch.held)


async def _with_connection(system: System, do: Hold) -> None:
    try:
        async with await Connection.open(system.login, system.source()) as connection:
            await do(connection)
    except OSError:
        pass  # refused, which is an answer as well


ATTACKS = (
    Attack("idle connections", PROMISE, idle),
    Attack("half-open requests", PROMISE, half_open),
    Attack("slow bodies", PROMISE, slow_bodies),
    Attack("slow heads", f"each is ended; {PROMISE}", slow_heads),
    Attack("endless bodies", f"each is refused; {PROMISE}", endless_bodies),
    Attack("unread answers", PROMISE, unread_answers),
)
