"""Attacks on many accounts from one address or from many, as a trusted proxy says them."""

from __future__ import annotations

import asyncio
from collections import Counter

from loadtest.attacks.attack import Attack, Outcome, System, UnmetError
from loadtest.attacks.guesses import RIGHT, WRONG, registered, told
from loadtest.attacks.wire import Answer, ask, credentials

ALLOWANCE = 20
"""Accounts that may fail at a source: the setting's default."""

MOST_GUESSES = 3 * ALLOWANCE
"""From one source: the allowance, delayed ones up to twice of it, and those under way by then."""

AT_ONCE = 10
SPRAYED_SECONDS = 30.0  # the delays are over by then
LEAST_SPRAYED = 2 * MOST_GUESSES  # accounts, however slow the system is
PEOPLE, MISTYPING = 45, 25  # more mistype than a source of strangers may have
BOTS, BOTS_AT_ONCE = 600, 50
"""An attack is what makes 500 accounts fail."""


async def spray(system: System) -> Outcome:
    """Guess once at each of many accounts, and write another address before one's own each time."""
    address, home = _address(system, 1), _address(system, 2)
    owner = system.user("sprayed-owner")
    await registered(system, owner)
    loop = asyncio.get_running_loop()
    until = loop.time() + SPRAYED_SECONDS
    statuses: Counter[int] = Counter()

    async def sprayer(own: int) -> None:
        number = own
        while number < LEAST_SPRAYED or loop.time() < until:
            chain = f"198.18.{number // 250 % 250}.{number % 250}, {address}"
            answer = await _from(system, chain, system.user(f"sprayed-{number}"), WRONG)
            statuses[answer.status] += 1
            number += AT_ONCE
            await asyncio.sleep(0.05)  # it is refused cheaply, which floods are about

    await asyncio.gather(*(sprayer(number) for number in range(AT_ONCE)))
    await _require(system, address)
    at_source = (await _from(system, address, owner, RIGHT)).status
    at_home = (await _from(system, home, owner, RIGHT)).status
    happened = f"{told(statuses)}; an owner got {at_source} there and {at_home} at home"
    held = statuses[401] <= MOST_GUESSES and set(statuses) <= {401, 429, 503}
    return Outcome(statuses.total(), happened, held and (at_source, at_home) == (429, 200))


async def claimed_address(system: System) -> Outcome:
    """Guess at many accounts, and say that it was somebody else, without being a proxy."""
    victim, user = _address(system, 3), system.user("claimed")
    await registered(system, user)
    statuses: Counter[int] = Counter()
    for number in range(MOST_GUESSES):
        headers = {"X-Forwarded-For": victim, "Forwarded": f"for={victim}"}
        body = credentials(system.user(f"claimed-{number}"), WRONG)
        answer = await ask(
            system.login, "POST", "/login", body, headers=headers, source=system.source(number)
        )
        statuses[answer.status] += 1
    login = (await _from(system, victim, user, RIGHT)).status
    happened = f"{told(statuses)}; who has the address then got {login}"
    return Outcome(statuses.total(), happened, login == 200)


async def office(system: System) -> Outcome:
    """Be many people behind one address, of whom more than half mistype."""
    address = _address(system, 4)
    names = [system.user(f"colleague-{number}") for number in range(PEOPLE)]
    for name in names:
        await registered(system, name)
    statuses: Counter[int] = Counter()

    async def log_in_there(number: int, name: str) -> None:
        if number < MISTYPING:
            await _from(system, address, name, WRONG)
        statuses[(await _from(system, address, name, RIGHT)).status] += 1

    await asyncio.gather(*(log_in_there(*colleague) for colleague in enumerate(names)))
    return Outcome(PEOPLE + MISTYPING, told(statuses), set(statuses) == {200})


async def botnet(system: System) -> Outcome:
    """Guess once from each of many addresses, and then go on from one of them.

    Somebody logs in afterwards, where they did before and where nobody ever did.
    """
    owner, home, elsewhere = system.user("bot-owner"), _address(system, 5), _address(system, 6)
    await registered(system, owner)
    await _from(system, home, owner, RIGHT)
    statuses: Counter[int] = Counter()
    turns = asyncio.Semaphore(BOTS_AT_ONCE)

    async def bot(number: int) -> None:
        address = f"{_network(system)}.{number // 250}.{number % 250 + 1}"
        async with turns:
            answer = await _from(system, address, system.user(f"bot-{number}"), WRONG)
        statuses[answer.status] += 1

    await asyncio.gather(*(bot(number) for number in range(BOTS)))
    found = (await ask(system.operator, "GET", "/attacks")).json()
    address = f"{_network(system)}.9.9"
    again: Counter[int] = Counter()
    for number in range(6):
        answer = await _from(system, address, system.user(f"bot-again-{number}"), WRONG)
        again[answer.status] += 1
    owners = [(await _from(system, place, owner, RIGHT)).status for place in (home, elsewhere)]
    failed = found["failed_accounts"]
    seen = "it is known for an attack" if found["attack"] else "it is not known for an attack"
    happened = f"{told(statuses)}; {seen} of {failed}; one address then: {told(again)}"
    happened += f"; an owner got {owners[0]} at home and {owners[1]} elsewhere"
    held = found["attack"] and again[401] <= 3 and again[429] > 0 and owners == [200, 200]
    return Outcome(BOTS + 6, happened, held)


async def _from(system: System, chain: str, user: str, password: str) -> Answer:
    """A login through the trusted proxy, which says that it comes from there."""
    headers = {"X-Forwarded-For": chain}
    body = credentials(user, password)
    return await ask(
        system.login, "POST", "/login", body, headers=headers, source=system.require_proxy()
    )


async def _require(system: System, address: str) -> None:
    """See that the proxy was believed, and that this address has refusals by now."""
    found = (await ask(system.operator, "GET", "/attacks?limit=1000")).json()
    if address not in {source["source"] for source in found["sources"]}:
        raise UnmetError(
            f"{system.proxy} is not believed that it asks for {address}",
            f"CERROJO_TRUSTED_PROXIES={system.proxy}",
        )


def _network(system: System) -> str:
    """Half of one that is for measurements (RFC 2544), of this run."""
    return f"198.{18 + int(system.tag[:4], 16) % 2}"


def _address(system: System, number: int) -> str:
    return f"{_network(system)}.{100 + int(system.tag[2:4], 16) % 100}.{number}"


ATTACKS = (
    Attack(
        "spraying from one address",
        f"at most {MOST_GUESSES} guesses, then 429 for all; others get in",
        spray,
    ),
    Attack("an address that is only claimed", "who has it is not limited for it", claimed_address),
    Attack("an office behind one address", "all get in, though half mistype", office),
    Attack("a botnet", "it is seen; an address then has 3 guesses; others get in", botnet),
)
