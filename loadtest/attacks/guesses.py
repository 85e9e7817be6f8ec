"""Attacks on one account by guesses at its password, and on its owner by the block they end in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

from loadtest.attacks.attack import Attack, Outcome, System, UnmetError
from loadtest.attacks.wire import Answer, ask, credentials, log_in

THRESHOLD = 5
ACCOUNTS = 6  # every other one is nobody's
GUESSES = 200
LOGINS = 100
FORGERIES = 50
RIGHT, WRONG = "a password that is right", "a password that is wrong"


async def at_once(system: System) -> Outcome:
    """Guess two hundred times at the same moment, from as many addresses; then log in."""
    seen: Counter[int] = Counter()
    broken = []
    for number in range(ACCOUNTS):
        user = system.user(f"guessed-{number}")
        if number % 2:
            await registered(system, user)
        statuses = await _guess(system, user, GUESSES)
        seen += statuses
        broken += [] if is_five(statuses) else [f"{user}: {told(statuses)}"]
        after = await log_in(system.login, user, RIGHT)
        broken += [] if after.status == 429 else [f"{user}: the right one got {after.status}"]
    return Outcome(seen.total(), "; ".join(broken) or told(seen), not broken)


async def right_ones(system: System) -> Outcome:
    """Log in a hundred times at the same moment, after four typos."""
    user = system.user("often")
    await registered(system, user)
    for _ in range(THRESHOLD - 1):
        await log_in(system.login, user, WRONG)
    answers = await asyncio.gather(*(log_in(system.login, user, RIGHT) for _ in range(LOGINS)))
    statuses = Counter(answer.status for answer in answers)
    return Outcome(LOGINS, told(statuses), set(statuses) == {200})


async def blocked_owner(system: System) -> Outcome:
    """Block an account while its owner logs in again and again by a device that is known."""
    user = system.user("shut-out")
    await registered(system, user)
    device = device_of(await log_in(system.login, user, RIGHT))
    guesses = asyncio.ensure_future(_guess(system, user, GUESSES))
    logins: Counter[int] = Counter()
    blocked = 0
    while not (guesses.done() and blocked):
        answer = await _with_device(system, user, RIGHT, device)
        logins[answer.status] += 1
        if answer.status == 200:
            device = device_of(answer)
        if guesses.done():
            blocked = (await log_in(system.login, user, RIGHT, source=system.source())).status
            logins[(await _with_device(system, user, RIGHT, device)).status] += 1
    happened = f"the owner's logins: {told(logins)}; without the device: {blocked}"
    statuses = await guesses
    held = set(logins) == {200} and blocked == 429 and is_five(statuses)
    return Outcome(GUESSES, f"the guesses: {told(statuses)}; {happened}", held)


async def stolen_device(system: System) -> Outcome:
    """Guess two hundred times at once with a copy of the owner's cookie."""
    user = system.user("robbed")
    await registered(system, user)
    stolen = device_of(await log_in(system.login, user, RIGHT))
    own = device_of(await _with_device(system, user, RIGHT, stolen))
    statuses = await _guess(system, user, GUESSES, {"Cookie": stolen})
    owner = (await _with_device(system, user, RIGHT, own)).status
    thief = (await _with_device(system, user, RIGHT, stolen)).status
    happened = f"{told(statuses)}; then the owner got {owner} and the thief {thief}"
    return Outcome(GUESSES, happened, is_five(statuses) and (owner, thief) == (200, 429))


async def forged_devices(system: System) -> Outcome:
    """Come to a blocked account with cookies that others have, or that were changed."""
    user, other = system.user("forged"), system.user("forger")
    await registered(system, user)
    await registered(system, other)
    genuine = device_of(await log_in(system.login, user, RIGHT))
    foreign = device_of(await log_in(system.login, other, RIGHT))
    while (await log_in(system.login, user, WRONG, source=system.source())).status != 429:
        pass  # a busy system answers some with 503
    name, _, value = genuine.partition("=")
    places = (number * len(value) // FORGERIES for number in range(FORGERIES))
    forged = [f"{name}={value[:at]}{_another(value[at])}{value[at + 1 :]}" for at in places]
    forged += [foreign, f"{foreign}.{value[:-1]}", f"{name}=", f"{name}={value[:-1]}"]
    statuses: Counter[int] = Counter()
    for cookie in forged:
        for password in (RIGHT, WRONG):
            statuses[(await _with_device(system, user, password, cookie)).status] += 1
    control = (await _with_device(system, user, RIGHT, genuine)).status
    happened = f"{told(statuses)}; the genuine one got {control}"
    return Outcome(statuses.total(), happened, set(statuses) == {429} and control == 200)


async def registered(system: System, user: str, password: str = RIGHT) -> None:
    """Make this account. Raises RuntimeError where it cannot be made."""
    made = await ask(system.login, "POST", "/register", credentials(user, password))
    if made.status != 201:
        raise RuntimeError(f"{user} could not be registered: {made.status or 'no answer'}.")


def is_five(statuses: Mapping[int, int]) -> bool:
    """Whether five were revealed, or fewer where an answer was lost, and the rest refused."""
    revealed, lost = statuses.get(401, 0), statuses.get(0, 0) + statuses.get(503, 0)
    return set(statuses) <= {0, 401, 429, 503} and revealed <= THRESHOLD <= revealed + lost


def device_of(answer: Answer) -> str:
    """The cookie of a device that this login sets, as a request has it."""
    for name, value in answer.headers:
        cookie = value.partition(";")[0]
        if name == "set-cookie" and "device" in cookie.partition("=")[0]:
            return cookie
    raise UnmetError(f"a login ({answer.status}) makes no device known", "CERROJO_DEVICE_KEYS_FILE")


def told(statuses: Mapping[int, int]) -> str:
    """How often each status was answered."""
    return ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))


async def _guess(
    system: System, user: str, times: int, headers: Mapping[str, str] | None = None
) -> Counter[int]:
    body = credentials(user, WRONG)
    guesses: Iterable[Answer] = await asyncio.gather(
        *(
            ask(
                *(system.login, "POST", "/login", body),
                headers=headers,
                source=system.source(number),
            )
            for number in range(times)
        )
    )
    return Counter(answer.status for answer in guesses)


async def _with_device(system: System, user: str, password: str, device: str) -> Answer:
    body = credentials(user, password)
    return await ask(system.login, "POST", "/login", body, headers={"Cookie": device})


def _another(letter: str) -> str:
    return "A" if letter != "A" else "B"


ATTACKS = (
    Attack("200 guesses at once", "exactly 5 are revealed; then the right one is refused", at_once),
    Attack("100 right passwords at once", "all are let in", right_ones),
    Attack("a block by strangers", "5 guesses; the owner gets in by a known device", blocked_owner),
    Attack("a stolen device", "5 guesses; the owner gets in", stolen_device),
    Attack("forged devices", "they are strangers, and refused by the block", forged_devices),
)
