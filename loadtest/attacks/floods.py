"""Attacks with more requests than there can be answers, all of them well-formed."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable

from loadtest.attacks.attack import Attack, Outcome, System
from loadtest.attacks.victim import PROMISE, Watch
from loadtest.attacks.wire import Connection, ask, credentials, request

AT_ONCE = 500
WAITING_EACH = 250
WATCHED_LOGINS = 40
PASSWORD = "a password of an attacker"  # noqa: S105  # nobody's

Credentials = Callable[[], tuple[str, str]]


async def unknown_names(system: System) -> Outcome:
    """Guess at a new name each time, by hundreds at the same moment."""
    number = itertools.count()
    return await _flood(
        system, "/login", lambda: (system.user(f"nobody-{next(number)}"), PASSWORD), AT_ONCE
    )


async def registrations(system: System) -> Outcome:
    """Register a new name each time."""
    number = itertools.count()
    return await _flood(
        system, "/register", lambda: (system.user(f"new-{next(number)}"), PASSWORD), AT_ONCE
    )


async def four_names(system: System) -> Outcome:
    """Log in to four accounts, with 250 that wait for each; they are never blocked."""
    names = [system.user(f"one-of-four-{number}") for number in range(4)]
    for name in names:
        await ask(system.login, "POST", "/register", credentials(name, PASSWORD))
    turn = itertools.cycle(names)
    return await _flood(system, "/login", lambda: (next(turn), PASSWORD), 4 * WAITING_EACH)


async def _flood(system: System, path: str, who: Credentials, at_once: int) -> Outcome:
    statuses: Counter[int] = Counter()
    enough = asyncio.Event()

    async def attacker() -> None:
        while not enough.is_set():
            try:
                connection = await Connection.open(system.login, system.source())
            except OSError:
                statuses[0] += 1
                continue
            answer = None
            while not enough.is_set() and (answer is None or answer.status):
                await connection.send(request("POST", path, credentials(*who())))
                answer = await connection.answer()
                statuses[answer.status] += 1
            connection.close(reset=True)

    async with Watch(system) as watch, asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(attacker())
        await watch.victim.logged_in(WATCHED_LOGINS)
        enough.set()
    said = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    fine = watch.held and not statuses.keys() & {0, 500}
    return Outcome(statuses.total(), f"{said}; {watch}", fine)


ATTACKS = (
    Attack("a flood of unknown names", PROMISE, unknown_names),
    Attack("a flood of registrations", PROMISE, registrations),
    Attack("four names, 250 waiting each", PROMISE, four_names),
)
