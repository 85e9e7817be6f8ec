"""More logins than there can be: some are decided, the rest is refused, and nobody pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psutil
import pytest

from tests.acceptance.conftest import StartSystem
from tests.acceptance.outage import Guessing
from tests.acceptance.system import Answer, Client, RunningSystem, run, statuses

RIGHT = "the right password"
CLIENTS = 200
PATIENCE_SECONDS = 180.0
GROWTH = 48 * 2**20  # bytes
LITTLE_ROOM = {
    "CERROJO_CHECKS_PER_USER": "8",
    "CERROJO_WAITING": "40",
    "CERROJO_WAITING_PER_USER": "30",
}
REJECTED = 1


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> RunningSystem:
    """A system with hashes that cost what they should, in which few may wait."""
    return start_system(LITTLE_ROOM)


def memory(system: RunningSystem) -> int:
    """Resident bytes of the login processes together."""
    return sum(psutil.Process(pid).memory_info().rss for pid in system.pids("gateway login"))


def test_what_is_too_much_is_refused_and_the_rest_decided(system: RunningSystem):
    """Every refusal says when to come again and counts nothing; memory does not grow."""

    async def scenario(client: Client) -> None:
        async with Guessing(client, "too-many", CLIENTS) as guessing:
            await guessing.until(lambda guess: guess.status == 503, CLIENTS, PATIENCE_SECONDS)
            before = memory(system)
            await guessing.until(lambda guess: guess.status == 503, 5 * CLIENTS, PATIENCE_SECONDS)
            await guessing.until(lambda guess: guess.status == 401, 20, PATIENCE_SECONDS)
            after = memory(system)
        assert {guess.status for guess in guessing.guesses} == {401, 503}
        assert after - before < GROWTH
        counted = system.query("SELECT username, decision FROM audit WHERE kind = 'attempt'")
        assert sorted(counted) == sorted(
            (guess.user, REJECTED) for guess in guessing.guesses if guess.status == 401
        )

    run(system, scenario)


def log_into_another(client: Client) -> Awaitable[Answer]:
    """A login that floods one account."""
    return client.login("flooded", RIGHT)


def register_the_same(client: Client) -> Awaitable[Answer]:
    """A request that could keep one account's owner away: it has its name, which is taken."""
    return client.post("/register", {"user": "somebody", "pass": RIGHT})


@pytest.mark.parametrize(
    ("attack", "answered"),
    [(log_into_another, 200), (register_the_same, 409)],
    ids=["logins to one account", "registrations of one name"],
)
def test_a_flood_refuses_nobody_else(
    system: RunningSystem, attack: Callable[[Client], Awaitable[Answer]], answered: int
):
    """Others log in meanwhile, each time; the flood itself is refused in part."""

    async def scenario(client: Client) -> None:
        for user in ("flooded", "somebody"):
            await client.post("/register", {"user": user, "pass": RIGHT})
        full, enough = asyncio.Event(), asyncio.Event()
        flood = []

        async def flooding() -> None:
            while not enough.is_set():
                flood.append(answer := await attack(client))
                if answer.status == 503:
                    assert answer.retry_after >= 1
                    full.set()
                    await asyncio.sleep(0.01)

        tasks = [asyncio.ensure_future(flooding()) for _ in range(CLIENTS)]
        await full.wait()
        answers = [await client.login("somebody", RIGHT) for _ in range(10)]
        enough.set()
        await asyncio.gather(*tasks)
        assert statuses(answers) == {200: 10}
        assert set(statuses(flood)) == {answered, 503}

    run(system, scenario)


def test_refused_guesses_leave_the_count_as_it_is(system: RunningSystem):
    """Two hundred wrong ones at once at one account: five decide, whoever is refused as well."""

    async def scenario(client: Client) -> None:
        await client.register("guessed-at", RIGHT)
        answers = await client.at_once("guessed-at", ["a wrong password"] * CLIENTS)
        seen = statuses(answers)
        assert set(seen) <= {401, 429, 503}
        assert seen[401] == 5
        decisions = system.query(
            "SELECT decision FROM audit WHERE username = 'guessed-at' AND kind = 'attempt'"
        )
        assert [decision for (decision,) in decisions].count(REJECTED) == 5

    run(system, scenario)
