"""A client that leaves has made its guess."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.acceptance.conftest import StartSystem
from tests.acceptance.raw import credentials, request, send_and_leave
from tests.acceptance.system import Client, RunningSystem, run
from tests.acceptance.waiting import until

RIGHT = "the right password"

ONE_AFTER_THE_OTHER = {
    # A hash that takes long enough for all clients to be gone before it is done.
    "CERROJO_ARGON2_MEMORY_KIB": "65536",
    "CERROJO_ARGON2_TIME_COST": "4",
    "CERROJO_CHECKS_PER_USER": "1",
    "CERROJO_GATEWAY_PROCESSES": "1",
}


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> RunningSystem:
    """A system in which the guesses of one account wait for each other."""
    return start_system(ONE_AFTER_THE_OTHER)


def decisions(system: RunningSystem, user: str) -> list[tuple[bool, int]]:
    """What was tried and decided, in the log's order: whether right, and the decision."""
    return system.query(
        "SELECT right_password, decision FROM audit"
        " WHERE username = %s AND kind = 'attempt' ORDER BY log_offset",
        user,
    )


@pytest.mark.parametrize("reset", [False, True], ids=["an orderly close", "a reset"])
@pytest.mark.parametrize("at_once", [False, True], ids=["in turn", "while they wait"])
def test_a_guess_counts_though_its_sender_is_gone(
    system: RunningSystem, at_once: bool, reset: bool
):
    """Five block the account, each gone before its answer, also where four are still waiting."""
    user = f"gone-{at_once}-{reset}".lower()
    guess = request("POST", "/login", credentials(user, "a wrong password"))

    async def all_decided(client: Client, guesses: int) -> None:
        async def look() -> list[tuple[bool, int]]:
            return decisions(system, user)

        seen = await until(look, lambda rows: len(rows) >= guesses)
        assert seen == [(False, 1)] * guesses

    def batches() -> Iterable[int]:
        return [5] if at_once else [1] * 5

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        made = 0
        for batch in batches():
            for _ in range(batch):
                send_and_leave(system.login_url, guess, reset=reset)
            if at_once:
                assert len(decisions(system, user)) < 4, "none had to wait: this showed nothing"
            made += batch
            await all_decided(client, made)
        assert (await client.login(user, RIGHT)).status == 429
        assert (await client.operator("GET", f"/blocked/{user}")).status == 200

    run(system, scenario)


def test_a_right_password_counts_though_its_sender_is_gone(system: RunningSystem):
    """It clears the count like any other, so that leaving is of no use to anyone."""
    user = "right-and-gone"

    async def scenario(client: Client) -> None:
        await client.register(user, RIGHT)
        for _ in range(4):
            assert (await client.login(user, "a wrong password")).status == 401
        send_and_leave(
            system.login_url, request("POST", "/login", credentials(user, RIGHT)), reset=True
        )

        async def look() -> list[tuple[bool, int]]:
            return decisions(system, user)

        await until(look, lambda rows: rows[-1] == (True, 0))
        assert (await client.login(user, "a wrong password")).status == 401
        assert (await client.login(user, RIGHT)).status == 200

    run(system, scenario)
