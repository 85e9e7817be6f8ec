"""A client that leaves has made its guess, unless nothing was done for it yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.acceptance.conftest import StartSystem
from tests.acceptance.raw import connect, credentials, leave, request, send_and_leave
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, run
from tests.harness.waiting import PAUSE_SECONDS, until

RIGHT, WRONG = "the right password", "a wrong password"

FIVE_AT_ONCE = {
    **CHEAPEST,
    "CERROJO_CHECKS_PER_USER": "5",
    "CERROJO_HASH_THREADS": "6",
    "CERROJO_DATABASE_CONNECTIONS": "8",
    "CERROJO_GATEWAY_PROCESSES": "1",
}

BOTH_WAYS = pytest.mark.parametrize("reset", [False, True], ids=["an orderly close", "a reset"])


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> RunningSystem:
    """A system in which the sixth login to one account waits for the first five."""
    return start_system(FIVE_AT_ONCE)


def decisions(system: RunningSystem, user: str) -> list[tuple[bool, int]]:
    """The attempts in the log's order: whether each was right, and its decision."""
    return system.query(
        "SELECT right_password, decision FROM audit"
        " WHERE username = %s AND kind = 'attempt' ORDER BY log_offset",
        user,
    )


@contextmanager
def nobody_is_checked(system: RunningSystem) -> Iterator[None]:
    """A request that has a turn in here holds it until the end, for want of the account's hash."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        yield


async def until_held(system: RunningSystem, turns: int) -> None:
    """Return when so many logins have a turn and do not get on with it.

    They must come one by one: those that come at the same moment are looked up together.
    """

    async def held() -> int:
        rows = system.query(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE NOT granted AND datname = current_database()"
        )
        return int(rows[0][0])

    await until(held, lambda number: number == turns)


async def send_and_leave_until_decided(system: RunningSystem, user: str, password: str) -> None:
    """Log in and be gone at once; again where the server took no notice of the request.

    It drops a few in a hundred of those who are gone so early, before anything is done for them.
    """
    before = decisions(system, user)
    for _ in range(10):
        send_and_leave(system.login_url, request("POST", "/login", credentials(user, password)))
        due = time.monotonic() + 3
        while time.monotonic() < due:
            if len(decisions(system, user)) > len(before):
                return
            await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("none of ten logins whose sender was gone was decided")


def test_a_guess_counts_though_its_sender_leaves_at_once(system: RunningSystem):
    """Five block the account, each gone before its answer."""
    user = "gone-at-once"

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        while len(decisions(system, user)) < 5:
            await send_and_leave_until_decided(system, user, WRONG)
        assert decisions(system, user)[:5] == [(False, 1)] * 5
        assert (await client.login(user, RIGHT)).status == 429
        assert (await client.operator("GET", f"/blocked/{user}")).status == 200

    run(system, scenario)


@BOTH_WAYS
def test_a_guess_counts_though_its_sender_leaves_in_its_turn(system: RunningSystem, reset: bool):
    """Five block the account, all gone before any password was checked."""
    user = f"gone-{reset}".lower()

    async def look() -> list[tuple[bool, int]]:
        return decisions(system, user)

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        with nobody_is_checked(system):
            guesses = [connect(system.login_url) for _ in range(5)]
            for number, guess in enumerate(guesses, start=1):
                guess.sendall(request("POST", "/login", credentials(user, WRONG)))
                await until_held(system, number)
            for guess in guesses:
                leave(guess, reset=reset)
        assert await until(look, lambda rows: len(rows) >= 5) == [(False, 1)] * 5
        assert (await client.login(user, RIGHT)).status == 429

    run(system, scenario)


@BOTH_WAYS
def test_who_leaves_while_it_waits_is_dropped(system: RunningSystem, reset: bool):
    """No hash is spent on it and nothing counts; a client that stays behind it is answered."""
    user = f"left-{reset}".lower()

    async def dropped() -> float:
        return system.metrics().get('cerrojo_logins_total{result="gone"}', 0.0)

    async def waiting() -> float:
        return system.metrics().get("cerrojo_logins_waiting", 0.0)

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        hashes = system.metrics()["cerrojo_hash_seconds_count"]
        before = await dropped()
        with nobody_is_checked(system):
            logins = []
            for number in range(1, 6):
                logins.append(asyncio.ensure_future(client.login(user, RIGHT)))
                await until_held(system, number)
            guesses = [connect(system.login_url) for _ in range(2)]
            for guess in guesses:
                guess.sendall(request("POST", "/login", credentials(user, WRONG)))
            await until(waiting, lambda number: number == 2)
            logins.append(asyncio.ensure_future(client.login(user, RIGHT)))
            await until(waiting, lambda number: number == 3)
            for guess in guesses:
                leave(guess, reset=reset)
            await until(dropped, lambda number: number == before + 2)
            await until(waiting, lambda number: number == 1)
        assert [(await login).status for login in logins] == [200] * 6
        assert decisions(system, user) == [(True, 0)] * 6
        assert system.metrics()["cerrojo_hash_seconds_count"] == hashes + 6

    run(system, scenario)


def test_a_right_password_counts_though_its_sender_is_gone(system: RunningSystem):
    """It clears the count like any other, so that leaving is of no use to anyone."""
    user = "right-and-gone"

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        for _ in range(4):
            assert (await client.login(user, WRONG)).status == 401
        await send_and_leave_until_decided(system, user, RIGHT)
        assert decisions(system, user)[-1] == (True, 0)
        assert (await client.login(user, WRONG)).status == 401
        assert (await client.login(user, RIGHT)).status == 200

    run(system, scenario)
