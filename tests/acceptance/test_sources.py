"""Guesses at many accounts from one address are refused, and people behind one address are not."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from settings import Settings
from tests.acceptance.system import (
    PROXY,
    Answer,
    Client,
    RunningSystem,
    connections,
    run,
    statuses,
)
from tests.harness.waiting import until

RIGHT = "a password that is right"
WRONG = "a password that is wrong"
ALLOWANCE = Settings().source_failures
PATIENCE_SECONDS = 60.0

numbers = itertools.count(1)


@pytest.fixture
def address() -> str:
    """One that no other test has failed at."""
    return f"198.51.100.{next(numbers)}"


class Person(Client):
    """A client whose logins come from an address, as the trusted proxy says."""

    address: str

    async def login(self, user: str, password: str) -> Answer:
        """One login from there."""
        return await self.post("/login", {"user": user, "pass": password})

    async def post(self, path: str, body: object, headers: Any = ()) -> Answer:
        """A request from there."""
        return await super().post(path, body, [*headers, ("X-Forwarded-For", self.address)])


@asynccontextmanager
async def person_at(system: RunningSystem, address: str) -> AsyncIterator[Person]:
    """Somebody there."""
    async with connections(local_addr=(PROXY, 0)) as session:
        person = Person(system, session)
        person.address = address
        yield person


def processes_ready(system: RunningSystem) -> Counter[str]:
    """How often each login process has become ready."""
    return Counter(re.findall(r'"Process is ready" name="(gateway login \d)"', system.logs()))


async def becomes_refused(client: Client, person: Person) -> Answer:
    """The refusal, once all login processes know of it: five in a row.

    Each time at another account, which five guesses only begin to block. As a delay may hold up
    guesses, a service tells of the others that it takes.
    """
    for _ in range(ALLOWANCE):
        user = f"guessed{next(numbers)}"
        assert (await client.attempt(user, "wrong", source=person.address)).status == 200
    due = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < due:
        user = f"guessed{next(numbers)}"
        answers = await asyncio.gather(*(person.login(user, WRONG) for _ in range(5)))
        if statuses(answers) == {429: 5}:
            return answers[0]
    raise AssertionError(f"{person.address} is not refused: {answers}")


def test_one_source_that_guesses_at_many_accounts_is_refused(system: RunningSystem, address: str):
    """Whatever the name and the password; nothing is told of either, and nothing counts."""
    owner = "sprayed"

    async def scenario(client: Client) -> None:
        await client.register(owner, RIGHT)
        async with person_at(system, address) as guesser:
            names = [f"sprayed{number}" for number in range(2 * ALLOWANCE + 1)]
            first = await asyncio.gather(*(guesser.login(name, WRONG) for name in names))
            assert statuses(first)[401] > ALLOWANCE
            refusal = await becomes_refused(client, guesser)
            assert refusal.body["code"] == "source_refused"
            assert refusal.retry_after > 0
            known = await guesser.login(owner, RIGHT)
            assert (known.status, known.body) == (429, refusal.body)
        async with person_at(system, f"{address}1") as elsewhere:
            assert (await elsewhere.login(owner, RIGHT)).status == 200
        listed = (await client.operator("GET", f"/attempts?user={owner}")).body["attempts"]
        assert [row["verdict"] for row in listed if row["kind"] == "attempt"] == ["accepted"]
        assert (await client.login("sprayed0", WRONG)).status == 401, "loopback has no limits"

        def is_shown(answer: Answer) -> bool:
            shown = answer.body
            mine = [entry for entry in shown["sources"] if entry["source"] == address]
            many = sum(entry["refusals"] - entry["error"] for entry in mine) > 2 * ALLOWANCE
            all_of_them = {entry["user"] for entry in shown["accounts"]} >= set(names)
            return shown["known"] is True and many and all_of_them

        await until(lambda: client.operator("GET", "/attacks?limit=1000"), is_shown)

    run(system, scenario)


def test_everybody_behind_one_address_gets_in_though_some_mistype(
    system: RunningSystem, address: str
):
    """An office on a Monday morning: more mistype than a source of strangers may have.

    They come last: while the attack of another test lasts, a source has to have let somebody in.
    """
    people = [f"monday{number}" for number in range(5 * ALLOWANCE)]
    mistype = people[-2 * ALLOWANCE - 5 :]

    async def scenario(client: Client) -> None:
        await asyncio.gather(*(client.register(name, RIGHT) for name in people))

        async with person_at(system, address) as office:

            async def all_get(status: int, names: list[str], password: str) -> None:
                answers = await asyncio.gather(*(office.login(name, password) for name in names))
                assert statuses(answers) == {status: len(names)}

            await all_get(200, people[: -len(mistype)], RIGHT)
            await all_get(401, mistype, WRONG)
            await all_get(200, mistype, RIGHT)

    run(system, scenario)


def test_registrations_from_one_source_have_a_budget(system: RunningSystem, address: str):
    """Each costs a hash, whether or not the name is taken."""

    async def scenario(client: Client) -> None:
        async with person_at(system, address) as stranger:
            due = time.monotonic() + PATIENCE_SECONDS
            answers: list[Answer] = []
            while time.monotonic() < due and 429 not in statuses(answers):
                body = {"user": "registered", "pass": RIGHT}
                answers.append(await stranger.post("/register", body))
            assert statuses(answers)[409] >= Settings().source_registrations - 1
            assert answers[-1].body["code"] == "source_refused"
            assert answers[-1].retry_after > 0
        await client.register("registered-elsewhere", RIGHT)

    run(system, scenario)


def test_a_process_that_starts_anew_knows_who_is_refused(system: RunningSystem, address: str):
    """Nobody gets new guesses by a crash: what was told is read again."""

    async def scenario(client: Client) -> None:
        async with person_at(system, address) as guesser:
            names = [f"crashed{number}" for number in range(2 * ALLOWANCE + 1)]
            await asyncio.gather(*(guesser.login(name, WRONG) for name in names))
            await becomes_refused(client, guesser)

    run(system, scenario)
    ready = processes_ready(system)
    system.kill("gateway login")

    async def again(_: Client) -> None:
        await until(
            lambda: asyncio.to_thread(processes_ready, system),
            lambda now: all(now[name] > times for name, times in ready.items()),
        )
        # The smallest of all processes, which all have one by now.
        await until(
            lambda: asyncio.to_thread(system.metrics),
            lambda metrics: metrics.get("cerrojo_sources_live") == 1.0,
        )
        async with person_at(system, address) as guesser:
            answer = await guesser.login("guessed-after-a-crash", WRONG)
            assert (answer.status, answer.body["code"]) == (429, "source_refused")

    run(system, again)
