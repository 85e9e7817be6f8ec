"""A block is visible when it is answered."""

from __future__ import annotations

import asyncio

from tests.acceptance.system import Client, RunningSystem, run

WRONG = "a wrong password"


def test_whoever_has_the_fifth_wrong_answer_finds_the_account_in_the_list(system: RunningSystem):
    """200 accounts, no miss."""

    async def guess(client: Client, user: str) -> None:
        for _ in range(5):
            assert (await client.login(user, WRONG)).status == 401
        found = await client.operator("GET", f"/blocked/{user}")
        listed = await client.operator("GET", "/blocked?limit=100000")
        assert found.status == 200
        assert user in listed.body["users-blocked"]

    async def scenario(client: Client) -> None:
        for some in range(0, 200, 20):
            await asyncio.gather(*(guess(client, f"listed{some + n}") for n in range(20)))

    run(system, scenario)
