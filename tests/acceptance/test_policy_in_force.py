"""Blocks end, double, and follow the policy that the log says, as clients see it."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from playwright.async_api import Page, expect

from gateway import guess_keys
from gateway.operators import Role
from tests.acceptance.browsing import Visit
from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import (
    CHEAPEST,
    PARTITIONS,
    Answer,
    Client,
    RunningSystem,
    run,
    statuses,
)
from tests.harness.command import cerrojo, said
from tests.harness.operators import OPERATOR_TOKEN, add_operator
from tests.harness.waiting import until

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


def policy(system: RunningSystem, *options: str) -> dict[str, Any]:
    """What `cerrojo policy` says is in force, in all partitions."""
    shown = said(system.env, "policy", *options)
    assert (shown["partitions"], shown["behind"]) == (PARTITIONS, [])
    found: dict[str, Any] = shown["policy"]
    return found


@pytest.fixture(scope="module")
def short(start_system: StartSystem, tmp_path_factory: pytest.TempPathFactory) -> RunningSystem:
    """A system whose first blocks are short, and that has keys for guesses."""
    keys = tmp_path_factory.mktemp("keys") / "guess-keys"
    guess_keys.make(keys, 900, time.time())
    return start_system(
        {
            **CHEAPEST,
            "CERROJO_POLICY_BLOCK_SECONDS": "6",
            "CERROJO_GUESS_KEYS_FILE": str(keys),
        }
    )


def test_a_block_ends_when_its_time_is_over_and_doubles_the_next_time(short: RunningSystem):
    """Retry-After is the truth, and a success makes the account as new."""

    async def scenario(client: Client) -> None:
        await client.register("ana", RIGHT)
        first = await guess_until_blocked(client, "ana")
        assert first.status == 429
        assert first.retry_after <= 6
        await wait_out(client, "ana", first)
        second = await guess_until_blocked(client, "ana", times=4)  # one was the waiting's
        assert second.status == 429
        assert second.retry_after <= 12
        blocked = await client.operator("GET", "/blocked/ana")
        assert blocked.body["why"] == "5 wrong passwords within 900 s"
        await asyncio.sleep(second.retry_after)
        assert (await client.login("ana", RIGHT)).status == 200
        assert (await client.operator("GET", "/blocked/ana")).status == 404
        third = await guess_until_blocked(client, "ana")
        assert third.status == 429
        assert third.retry_after <= 6
        lengths = (
            "SELECT until_ms - appended_ms FROM audit WHERE username = 'ana' AND until_ms > 0"
            " AND change > 0 ORDER BY appended_ms"
        )
        assert short.query(lengths) == [(6_000,), (12_000,), (6_000,)]

    run(short, scenario)


def test_the_policy_is_changed_by_a_command_and_not_by_a_restart(short: RunningSystem):
    """It stands in the log: other settings at the next start do not touch it.

    With another policy the same wrong password counts once, whichever process checks it.
    """
    system = short

    async def scenario(client: Client) -> None:
        shown = await asyncio.to_thread(policy, system)
        assert (shown["version"], shown["threshold"], shown["window_ms"]) == (1, 5, 900_000)
        changed = await asyncio.to_thread(policy, system, "--threshold", "2", "--block", "60")
        assert (changed["version"], changed["threshold"], changed["block_ms"]) == (2, 2, 60_000)
        refusal = await guess_until_blocked(client, "cleo", times=2)
        assert refusal.status == 429
        assert refusal.retry_after in range(1, 61)
        changed = await asyncio.to_thread(policy, system, "--repeated", "ignore")
        assert (changed["version"], changed["repeated_guesses"]) == (3, "ignore")
        for _ in range(4):  # in turn by any of the gateway's processes
            assert statuses(await client.at_once("eva", [WRONG] * 5)) == {401: 5}
        assert (await client.login("eva", "another wrong one")).status == 401
        assert (await client.login("eva", WRONG)).status == 429
        policy(system, "--repeated", "count")

    run(system, scenario)
    wrong = cerrojo(system.env, "policy", "--threshold", "0")
    sentence = "--threshold must be from 1 to 100, and is 0.\n"
    assert (wrong.returncode, wrong.stderr) == (2, sentence)
    system.stop()
    system.env["CERROJO_POLICY_THRESHOLD"] = "4"
    system.start()
    assert (policy(system)["version"], policy(system)["threshold"]) == (4, 2)

    async def after(client: Client) -> None:
        assert (await guess_until_blocked(client, "bob", times=2)).status == 429

    run(system, after)


def test_the_operator_port_changes_no_policy_without_the_key(short: RunningSystem, visit: Visit):
    """Whoever takes it over could switch all blocks off. It says how to give it, and how else.

    With the key an operator changes it there, in place of the policy that they looked at.
    """
    add_operator(short.database_url, "Ops", "a-token-of-ops", Role.OPERATE)

    async def scenario(client: Client) -> None:
        before = (await client.operator("GET", "/policy")).body["policy"]
        order = {"policy": before | {"threshold": 4}, "reason": "the audit of May"}
        refused = await client.operator("PUT", "/policy", order)
        assert (refused.status, refused.body["code"]) == (403, "no_policy_key")
        assert "`cerrojo keys signing allow-policy FOLDER`" in refused.body["error"]
        said({}, "keys", "signing", "allow-policy", str(short.signing_keys))
        changed = await until(  # the file is read again within a second, and each has a worker
            lambda: client.operator("PUT", "/policy", order), lambda answer: answer.status == 200
        )
        version = changed.body["policy"]["version"]
        assert version > before["version"]
        now = before | {"version": version, "threshold": 4}
        assert (changed.status, changed.body["policy"], changed.body["behind"]) == (200, now, [])
        assert await asyncio.to_thread(policy, short) == now
        assert (await guess_until_blocked(client, "gus", times=4)).status == 429
        again = await client.operator("PUT", "/policy", order)
        assert (again.status, again.body["policy"]) == (200, now), "the answer may have been lost"
        other = {**order, "policy": before | {"threshold": 9}}
        late = await client.operator("PUT", "/policy", other)
        assert (late.status, late.body["code"]) == (409, "policy_changed")
        for bad in (
            {**order, "reason": " "},
            {"policy": order["policy"]},
            {**order, "policy": now | {"threshold": 101}},
        ):
            assert (await client.operator("PUT", "/policy", bad)).status == 400
        lesser = await client.operator("PUT", "/policy", order, "a-token-of-ops")
        assert (lesser.status, lesser.body["code"]) == (403, "insufficient_scope")
        first, *_ = (await client.operator("GET", "/policy/history")).body["policies"]
        assert (first["policy"], first["changed"]) == (now, ["threshold"])
        done = (await client.operator("GET", "/attempts?operator=tests")).body["attempts"]
        assert {
            (one["partition"], one["verdict"], one["reason"])
            for one in done
            if one["kind"] == "policy"
        } == {(number, "accepted", "the audit of May") for number in range(PARTITIONS)}
        restored = {"policy": before | {"version": now["version"]}, "reason": "as it was"}
        assert (await client.operator("PUT", "/policy", restored)).status == 200

    run(short, scenario)
    visit(short, partial(change_in_the_console, short.operator_url))
    said({}, "keys", "signing", "deny-policy", str(short.signing_keys))
    assert said(short.env, "verify")["differences"] == []


async def change_in_the_console(url: str, client: Client, page: Page) -> None:
    """In a form that has the policy in force, and asks why."""
    before = (await client.operator("GET", "/policy")).body["policy"]
    version = before["version"] + 1
    await page.goto(url)
    await page.locator("#change-policy").click()
    await page.locator("#token").fill(OPERATOR_TOKEN)
    await page.locator("#login-yes").click()
    await expect(page.get_by_label("window, ms")).to_have_value(str(before["window_ms"]))
    await page.get_by_label("final, wrong passwords").fill("77")
    await page.get_by_label("repeated guesses").select_option("ignore")
    await page.locator("#changing-yes").click()
    await expect(page.locator("#changing")).to_be_visible()
    await page.locator("#policy-reason").fill("many guesses")
    await page.locator("#changing-yes").click()
    await expect(page.locator("#said")).to_have_text(f"Policy {version} is in force.")
    await expect(page.locator("#changing")).to_be_hidden()
    changed = {"version": version, "final_failures": 77, "repeated_guesses": "ignore"}
    assert (await client.operator("GET", "/policy")).body["policy"] == before | changed
    await expect(page.locator("#policies tbody tr").first).to_contain_text(
        "final_failures 77, repeated_guesses ignore"
    )
    back = {"policy": before | {"version": version}, "reason": "as it was"}
    assert (await client.operator("PUT", "/policy", back)).status == 200


def test_a_policy_that_is_tried_decides_nothing_until_it_is_promoted(short: RunningSystem):
    """Then it is in force, and nothing is tried any more."""
    before = policy(short)
    assert before["threshold"] > 1

    async def tried(client: Client) -> None:
        said(short.env, "shadow", "begin", "threshold=1,block=60")
        assert (await client.login("dora", WRONG)).status == 401
        assert (await client.login("dora", WRONG)).status == 401
        shown = said(short.env, "shadow")
        assert shown["policies"]["as it was"]["guesses_saved"] == 0
        assert shown["policies"]["shadow"] == {
            "blocks": 1,
            "owners_refused": 0,
            "guesses_saved": 1,
        }

    run(short, tried)
    assert policy(short) == before
    promoted = said(short.env, "shadow", "promote")
    assert promoted["policy"] == before | {
        "version": before["version"] + 1,
        "threshold": 1,
        "block_ms": 60_000,
    }
    assert cerrojo(short.env, "shadow").returncode == 1

    async def after(client: Client) -> None:
        assert (await guess_until_blocked(client, "fred", times=1)).status == 429

    run(short, after)


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
        assert (await client.login_once_heard("ana", RIGHT)).status == 200

    run(system, scenario)
