"""Attacks with heads that are too long, or that two programs could read in two ways."""

from __future__ import annotations

import asyncio

from loadtest.attacks.attack import Attack, Outcome, System
from loadtest.attacks.victim import PROMISE, Watch
from loadtest.attacks.wire import Connection, credentials, request

AT_ONCE = 50
TIMES = 20  # each sends so many heads, one after the other
WATCHED_LOGINS = 20
QUIET_SECONDS = 0.5  # without a further answer, none comes

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

_HOST = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = _HOST + b"Transfer-Encoding: chunked\r\n\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)

SHAPES: dict[str, bytes] = {
    "CL.TE": _HOST + _LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.CL": _HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    "TE.TE": _HOST + _LENGTH + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "TE with a tab": _HOST + _LENGTH + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + SMUGGLED,
    "TE with a space": _HOST + _LENGTH + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked is not the last": _HOST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "TE in HTTP/1.0": b"POST /nothing HTTP/1.0\r\n"
    + _LENGTH
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two lengths": _HOST + b"Content-Length: 0\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "two lengths in one": _HOST + b"Content-Length: 0, %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    "a signed length": _HOST + b"Content-Length: +%d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    "a folded header": _HOST + b"X: 1\r\n Content-Length: 0\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "a folded encoding": _HOST
    + _LENGTH
    + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "a lone CR": _HOST + b"X: 1\rContent-Length: 0\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "a NUL": _HOST + b"X: 1\0\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "a bare LF in a chunk's size": _CHUNKED + b"1\nx\r\n0\r\n\r\n" + SMUGGLED,
    "a bare LF in an extension": _CHUNKED + b"1;a\nx\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk that spills": _CHUNKED + b"1\r\nxyz0\r\n\r\n" + SMUGGLED,
    "a size with 0x": _CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n" + SMUGGLED,
    "a size beyond 64 bits": _CHUNKED + b"10000000000000000\r\n0\r\n\r\n" + SMUGGLED,
    "a GET with a body": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n"
    + _LENGTH
    + b"\r\n"
    + SMUGGLED,
}
"""What one program may take for one request and another one for two: by RFC 9112 it is one, or none
at all, and after it the connection is to be closed."""


async def long_heads(system: System) -> Outcome:
    """A header of 400 KB, which is refused before all of it is read."""
    body = credentials(system.user("long-heads"), "a wrong password")
    return await _refused(
        system, request("POST", "/login", body, {"X": "a" * 400_000}), frozenset({431})
    )


async def many_headers(system: System) -> Outcome:
    """Thousands of small headers."""
    body = credentials(system.user("many-headers"), "a wrong password")
    headers = {f"X-{number}": "1" for number in range(5_000)}
    return await _refused(system, request("POST", "/login", body, headers), frozenset({431}))


async def long_addresses(system: System) -> Outcome:
    """A path of 400 KB."""
    return await _refused(system, request("GET", "/" + "a" * 400_000), frozenset({414, 431}))


async def smuggling(system: System) -> Outcome:
    """A second request within the first one, in every shape that has fooled some program."""
    seen = {name: await _answers(system, shape) for name, shape in SHAPES.items()}
    fooled = [name for name, answers in seen.items() if answers > 1]
    happened = f"answered twice: {', '.join(fooled)}" if fooled else "one answer each, or none"
    return Outcome(len(SHAPES), happened, not fooled)


async def _refused(system: System, data: bytes, expected: frozenset[int]) -> Outcome:
    statuses: set[int] = set()

    async def attacker() -> None:
        for _ in range(TIMES):
            async with await Connection.open(system.login, system.source()) as connection:
                await connection.send(data)
                statuses.add((await connection.answer()).status)

    async with Watch(system) as watch, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(attacker())
        await watch.victim.logged_in(WATCHED_LOGINS)
    statuses.discard(0)  # closed while it was still being sent
    said = " and ".join(map(str, sorted(statuses))) or "nothing"
    return Outcome(
        AT_ONCE * TIMES, f"answered {said}; {watch}", watch.held and statuses <= expected
    )


async def _answers(system: System, data: bytes) -> int:
    """How many requests were answered that were found in this."""
    async with await Connection.open(system.login, system.source()) as connection:
        await connection.send(data)
        answers = 0
        while (await connection.answer(QUIET_SECONDS)).status:
            answers += 1
        return answers


ATTACKS = (
    Attack("heads of 400 KB", f"431; {PROMISE}", long_heads),
    Attack("5,000 headers", f"431; {PROMISE}", many_headers),
    Attack("addresses of 400 KB", f"414 or 431; {PROMISE}", long_addresses),
    Attack("request smuggling", "no request within another one is answered", smuggling),
)
