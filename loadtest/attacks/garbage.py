"""Attacks with bytes that are no requests any more."""

from __future__ import annotations

import asyncio
import random
import re

from loadtest.attacks.attack import Attack, Outcome, Port, System
from loadtest.attacks.victim import UNSEEN, Processes, Victim
from loadtest.attacks.wire import Connection, credentials, request

TRIES = 4_000  # at each port
AT_ONCE = 20
PATIENCE_SECONDS = 20.0
"""For the end of a connection whose client says that nothing more comes."""

_NEVER = re.compile(rb"HTTP/1\.[01] (500|502|504)")

PIECES = (
    *(b"\r\n", b"\n", b"\0", b"\xff\xfe", b"\r\n\r\n", b" ", b":", b"%00", b'{"a":' * 300),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Host: a b\r\n",
        b"\xed\xa0\x80",
    ),
    *(b"HTTP/2", b"[" * 3_000, b"9" * 400, b"\\ud800", b"\x16\x03\x01\x02\x00\x01", b"a" * 9_000),
)


async def at_the_login_port(system: System) -> Outcome:
    """Requests of clients, broken in a few places."""
    body = credentials(system.user("garbage"), "a wrong password")
    valid = [request("POST", path, body) for path in ("/login", "/register", "/password")]
    valid.append(request("GET", "/session", headers={"Cookie": "cerrojo=a.b.c"}))
    return await _garbage(system, system.login, valid)


async def at_the_operator_port(system: System) -> Outcome:
    """Requests of operators, broken in a few places."""
    name = system.user("garbage")
    paths = ("/", "/metrics", "/blocked?limit=5", f"/blocked/{name}", f"/attempts?user={name}")
    valid = [request("GET", path) for path in paths]
    valid.append(request("PATCH", f"/accounts/{name}", b'{"disabled": true}'))
    return await _garbage(system, system.operator, valid)


async def _garbage(system: System, port: Port, valid: list[bytes]) -> Outcome:
    processes, chance = Processes(system), random.Random(system.tag)
    failures: list[bytes] = []
    unended = 0
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, data: bytes) -> None:
        nonlocal unended
        async with turns:
            try:
                async with await Connection.open(port, system.source(number % 5_000)) as connection:
                    await connection.send(data)
                    said = await connection.rest(PATIENCE_SECONDS)
            except OSError:  # closed in its face, which is an answer as well
                return
        if said is None:
            unended += 1
        elif _NEVER.search(said):
            failures.append(data)

    async with Victim(system) as victim:
        broken = [_broken(chance, chance.choice(valid)) for _ in range(TRIES)]
        await asyncio.gather(*(one(number, data) for number, data in enumerate(broken)))
        await victim.logged_in(1)
    restarted = processes.restarted()
    seen = f"{restarted} restarts" if processes.seen else UNSEEN
    happened = f"{len(failures)} answers 500, {unended} without an end; {seen}; {victim}"
    if failures:
        happened += f"; the first one was to {failures[0][:400]!a}"
    return Outcome(TRIES, happened, not failures and not unended and not restarted and victim.held)


def _broken(chance: random.Random, data: bytes) -> bytes:
    """These bytes, changed in up to four places."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        here = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[here : here + 1] = chance.randbytes(1)
            case 1:
                del changed[here : here + chance.randint(1, 30)]
            case 2:
                del changed[here:]
            case 3:
                changed[here:here] = changed[here : here + chance.randint(1, 60)]
            case _:
                changed[here:here] = chance.choice(PIECES)
    return bytes(changed)


PROMISE = "no 500, each connection ends, nothing restarts; others log in within 1 s"
ATTACKS = (
    Attack("broken requests to the login port", PROMISE, at_the_login_port),
    Attack("broken requests to the operator port", PROMISE, at_the_operator_port),
)
