"""A stranger can't shut an owner out, and a stolen cookie is worth five guesses."""

from __future__ import annotations

import asyncio

from tests.acceptance.system import Client, RunningSystem, run, statuses

RIGHT = "the right password"
WRONG = "a wrong password"
GUESSES = 200


def test_an_owner_gets_in_while_strangers_have_the_account_blocked(system: RunningSystem):
    """Two hundred guesses at once reveal five, and the device's owner is in at every moment."""

    async def scenario(client: Client) -> None:
        await client.register("shut-out", RIGHT)
        device = await client.device("shut-out", RIGHT)
        guesses = asyncio.ensure_future(client.at_once("shut-out", [WRONG] * GUESSES))
        logins = []
        while not guesses.done():
            answer = await client.login("shut-out", RIGHT, device)
            logins.append(answer.status)
            device = answer.device
        assert set(logins) == {200}
        assert statuses(guesses.result()) == {401: 5, 429: GUESSES - 5}
        assert (await client.login("shut-out", RIGHT)).status == 429
        assert (await client.operator("GET", "/blocked/shut-out")).body["failures"] == 5
        # A success of the device gives strangers no further guesses.
        assert (await client.login("shut-out", RIGHT, device)).status == 200
        assert (await client.login("shut-out", WRONG)).status == 429
        answers = await asyncio.gather(
            *(client.login("shut-out", RIGHT, device) for _ in range(100))
        )
        assert statuses(answers) == {200: 100}

    run(system, scenario)


def test_of_two_hundred_guesses_with_a_stolen_cookie_exactly_five_are_revealed(
    system: RunningSystem,
):
    """They shut out neither the owner, whose next cookie is another, nor anybody else."""

    async def scenario(client: Client) -> None:
        await client.register("robbed", RIGHT)
        stolen = await client.device("robbed", RIGHT)
        own = (await client.login("robbed", RIGHT, stolen)).device
        answers = await asyncio.gather(
            *(client.login("robbed", WRONG, stolen) for _ in range(GUESSES))
        )
        assert statuses(answers) == {401: 5, 429: GUESSES - 5}
        assert all(a.retry_after in range(1770, 1801) for a in answers if a.status == 429)
        assert (await client.login("robbed", RIGHT, stolen)).status == 429
        assert (await client.operator("GET", "/blocked/robbed")).status == 404
        shown = (await client.operator("GET", "/attempts?user=robbed&limit=1000")).body["attempts"]
        # A short id for all guesses of the thief's; none of the first login, that made it.
        devices = [row["device"] for row in shown if row["kind"] == "attempt"]
        assert len(devices[0]) == 8
        assert devices == [devices[0]] * (len(devices) - 1) + [None]
        for device in (own, ""):
            assert (await client.login("robbed", RIGHT, device)).status == 200
        # An operator ends its block, within two seconds everywhere, and it is a stranger's then.
        await client.operator("DELETE", "/blocked/robbed")
        assert (await client.login_once_heard("robbed", WRONG, stolen)).status == 401
        assert system.query("SELECT in_a_row FROM lock_states WHERE username = 'robbed'") == [(1,)]

    run(system, scenario)


def test_a_changed_password_and_an_operator_make_devices_unknown(system: RunningSystem):
    """But the one that changed it, which its owner has in hand."""

    async def scenario(client: Client) -> None:
        await client.register("moving", RIGHT)
        other = await client.device("moving", RIGHT)
        changed = await client.change("moving", RIGHT, "another right one")
        assert changed.status == 200
        mine = changed.device
        await client.at_once("moving", [WRONG] * 5)
        assert (await client.login("moving", "another right one", other)).status == 429
        assert (await client.login("moving", "another right one", mine)).status == 200
        assert (await client.operator("DELETE", "/accounts/moving/devices")).status == 200
        assert (await client.login("moving", "another right one", mine)).status == 429
        assert (await client.operator("DELETE", "/accounts/nobody-at-all/devices")).status == 404

    run(system, scenario)


def test_a_deleted_account_leaves_no_device(system: RunningSystem):
    """Whoever has the name next has others."""

    async def scenario(client: Client) -> None:
        await client.register("gone-soon", RIGHT)
        device = await client.device("gone-soon", RIGHT)
        assert (await client.login("gone-soon", WRONG, device)).status == 401
        assert (await client.operator("DELETE", "/accounts/gone-soon")).status == 200
        query = "SELECT count(*) FROM lock_states WHERE username = 'gone-soon'"
        assert system.query(query) == [(0,)]
        await client.register("gone-soon", RIGHT)
        await client.at_once("gone-soon", [WRONG] * 5)
        assert (await client.login("gone-soon", RIGHT, device)).status == 429

    run(system, scenario)
