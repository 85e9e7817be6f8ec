"""Blocks end, double, and follow the policy that the log says, as clients see it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import CHEAPEST, PROJECT, Answer, Client, RunningSystem, run

RIGHT, WRONG = "the right password", "a wrong password"


async def guess_until_blocked(client: Client, user: str, times: int = 5) -> Answer:
    """So many wrong passwords, and what is answered to the right one then."""
    for _ in range(times):
        assert (await client.login(user, WRONG)).status == 401
    return await client.login(user, RIGHT)


async def wait_out(client: Client, user: str, refusal: Answer) -> None:
    """Do what the answer says: come back when the block is over."""
    await asyncio.sleep(refusal.retry_after)
    assert (await client.login(user, WRONG)).status == 401


def policy(system: RunningSystem, *options: str) -> subprocess.CompletedProcess[str]:
    """`python -m workers policy`."""
    return subprocess.run(
        [sys.executable, "-m", "workers", "policy", *options],
        env={**os.environ, **system.env},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_block_ends_when_its_time_is_over_and_doubles_the_next_time(start_system: StartSystem):
    """Retry-After is the truth, and a success makes the account as new."""
    system = start_system({**CHEAPEST, "CERROJO_POLICY_BLOCK_SECONDS": "2"})

    async def scenario(client: Client) -> None:
        await client.register("ana", RIGHT)
        first = await guess_until_blocked(client, "ana")
        assert (first.status, first.retry_after) in [(429, 1), (429, 2)]
        await wait_out(client, "ana", first)
        second = await guess_until_blocked(client, "ana", times=4)  # one was the waiting's
        assert (second.status, second.retry_after) in [(429, 3), (429, 4)]
        blocked = await client.operator("GET", "/blocked/ana")
        assert blocked.body["why"] == "5 wrong passwords within 900 s"
        await asyncio.sleep(second.retry_after)
        assert (await client.login("ana", RIGHT)).status == 200
        assert (await client.operator("GET", "/blocked/ana")).status == 404
        third = await guess_until_blocked(client, "ana")
        assert (third.status, third.retry_after) in [(429, 1), (429, 2)]

    run(system, scenario)


def test_the_exercises_rule_blocks_until_an_operator_lifts_it(start_system: StartSystem):
    """Five within 60 seconds, then 403 to everything until DELETE /blocked/<user>."""
    system = start_system(
        {
            **CHEAPEST,
            "CERROJO_POLICY_WINDOW_SECONDS": "60",
            "CERROJO_POLICY_BLOCK_SECONDS": "0",
        }
    )

    async def scenario(client: Client) -> None:
        await client.register("ana", RIGHT)
        refusal = await guess_until_blocked(client, "ana")
        assert refusal.status == 403
        assert "Retry-After" not in refusal.headers
        assert (await client.operator("GET", "/blocked/ana")).body["until"] is None
        assert (await client.operator("GET", "/blocked")).body == {"users-blocked": ["ana"]}
        assert (await client.operator("DELETE", "/blocked/ana")).status == 200
        assert (await client.operator("DELETE", "/blocked/ana")).status == 404
        assert (await client.login("ana", RIGHT)).status == 200

    run(system, scenario)


def test_the_policy_is_changed_by_a_command_and_not_by_a_restart(start_system: StartSystem):
    """It stands in the log: other settings at the next start do not touch it."""
    system = start_system(CHEAPEST)

    async def scenario(client: Client) -> None:
        shown = policy(system)
        assert "Policy 1: 5 wrong passwords within 900 s" in shown.stdout
        changed = policy(system, "--threshold", "2", "--block", "60")
        assert "In force in 4 partitions. Policy 2: 2 wrong passwords" in changed.stdout
        refusal = await guess_until_blocked(client, "ana", times=2)
        assert (refusal.status, refusal.retry_after) in [(429, 59), (429, 60)]

    run(system, scenario)
    wrong = policy(system, "--threshold", "0")
    sentence = "--threshold must be from 1 to 100, and is 0.\n"
    assert (wrong.returncode, wrong.stderr) == (2, sentence)
    system.stop()
    system.env["CERROJO_POLICY_THRESHOLD"] = "4"
    system.start()
    assert "Policy 2: 2 wrong passwords" in policy(system).stdout

    async def after(client: Client) -> None:
        assert (await guess_until_blocked(client, "bob", times=2)).status == 429

    run(system, after)
