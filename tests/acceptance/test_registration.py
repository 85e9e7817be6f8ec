"""An account is made once, by one, with a clean slate, and only with the log's consent."""

from __future__ import annotations

import asyncio
import os
import signal

from argon2 import PasswordHasher

from gateway.passwords.hash_formats import parse
from processes import Ready
from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import CHEAPEST, Answer, Client, RunningSystem, run, statuses
from tests.harness.evidence import read_topic
from tests.harness.foreign_accounts import one_of_each
from tests.harness.waiting import until

RIGHT = "a good password"
WRONG = "a wrong password"


def body(user: str, password: str = RIGHT) -> dict[str, str]:
    """The body that /register wants."""
    return {"user": user, "pass": password}


def test_a_name_is_given_once(system: RunningSystem):
    """201, and 409 for whoever comes later, whose password is not taken."""

    async def scenario(client: Client) -> None:
        first = await client.post("/register", body("first"))
        assert (first.status, first.body) == (201, {"success": True})
        second = await client.post("/register", body("first", "another password"))
        assert (second.status, list(second.body)) == (409, ["error", "code"])
        accepted = await client.login("first", RIGHT)
        assert (accepted.status, accepted.body["success"]) == (200, True)
        assert (await client.login("first", "another password")).status == 401

    run(system, scenario)


def test_of_two_who_register_at_once_one_gets_the_name(system: RunningSystem):
    """One 201 and one 409, and the password is that of the 201."""

    async def scenario(client: Client) -> None:
        for number in range(10):
            user = f"wanted{number}"
            passwords = [f"password of {n}" for n in range(2)]
            answers = await asyncio.gather(
                *(client.post("/register", body(user, password)) for password in passwords)
            )
            assert statuses(answers) == {201: 1, 409: 1}
            for password, answer in zip(passwords, answers, strict=True):
                expected = 200 if answer.status == 201 else 401
                assert (await client.login(user, password)).status == expected

    run(system, scenario)


def test_registering_clears_what_strangers_did_to_the_name(system: RunningSystem):
    """Their guesses are forgotten, and so is the block that they caused."""

    async def scenario(client: Client) -> None:
        for guesses in (4, 5):
            user = f"strangers{guesses}"
            for _ in range(guesses):
                assert (await client.login(user, WRONG)).status == 401
            blocked = await client.operator("GET", f"/blocked/{user}")
            assert blocked.status == (200 if guesses == 5 else 404)
            await client.register(user, RIGHT)
            assert (await client.operator("GET", f"/blocked/{user}")).status == 404
            assert (await client.login_once_heard(user, RIGHT)).status == 200
            # All five of the owner's own, and not one fewer.
            for _ in range(5):
                assert (await client.login(user, WRONG)).status == 401
            assert (await client.login(user, RIGHT)).status == 429

    run(system, scenario)


def test_what_clears_an_account_says_until_when_it_may(system: RunningSystem):
    """A registration and an unblocking that come into the log later than that change nothing."""

    async def scenario(client: Client) -> None:
        await client.register("expiring", RIGHT)
        assert (await client.operator("DELETE", "/blocked/expiring")).status == 404

    run(system, scenario)
    deadline_ms = float(system.env["CERROJO_DEADLINE_SECONDS"]) * 1000
    left_ms = {
        record.fields[0]: record.fields[5] - record.ms
        for record in read_topic(system.env["KAFKA_BOOTSTRAP_SERVERS"], "attempts")
        if record.fields and record.fields[3:4] == ["expiring"]
    }
    assert left_ms.keys() == {"registered", "unblock"}
    assert all(0 <= left <= deadline_ms for left in left_ms.values()), left_ms


def test_a_failed_registration_clears_nothing(system: RunningSystem):
    """A stranger who registers a name that is taken does not get its block lifted."""

    async def scenario(client: Client) -> None:
        await client.register("taken", RIGHT)
        for _ in range(5):
            assert (await client.login("taken", WRONG)).status == 401
        assert (await client.post("/register", body("taken"))).status == 409
        assert (await client.login("taken", RIGHT)).status == 429
        assert (await client.operator("GET", "/blocked/taken")).status == 200

    run(system, scenario)


def test_nobody_learns_from_an_answer_which_names_exist(system: RunningSystem):
    """A wrong password gives the same body and headers, and so does a block: whether or not there
    is an account, and whatever its hash looks like."""
    stored = {
        "known-old": PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(RIGHT),
        "known-bad": "no hash at all",
        **{
            f"known-{number}": parse(given).stored
            for number, (given, _) in enumerate(one_of_each().values())
        },
    }

    def essence(answer: Answer) -> tuple[object, ...]:
        changing = {"date", "retry-after", "x-request-id"}
        headers = [(k, "" if k.lower() in changing else v) for k, v in answer.headers.items()]
        body = {k: v.split(" in ")[0] for k, v in answer.body.items()}  # without the seconds
        return answer.status, body, headers

    async def scenario(client: Client) -> None:
        await client.register("known-today", RIGHT)
        await client.register("known-disabled", RIGHT)
        await client.operator("PATCH", "/accounts/known-disabled", {"disabled": True})
        for user, hash_ in stored.items():
            system.query("INSERT INTO accounts VALUES (%s, %s) RETURNING 1", user, hash_)
        answers = {
            user: [essence(await client.login(user, WRONG)) for _ in range(6)]
            for user in ("unknown-1", "known-today", "known-disabled", *stored)
        }
        assert [status for status, *_ in answers["unknown-1"]] == [401] * 5 + [429]
        for user, given in answers.items():
            assert given == answers["unknown-1"], user

    run(system, scenario)


def test_a_hash_by_other_settings_is_replaced_at_the_next_login(system: RunningSystem):
    """So that a higher cost holds for all in time, and unknown names cost as much as known ones."""
    others = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(RIGHT)
    system.query("INSERT INTO accounts VALUES ('older', %s) RETURNING 1", others)

    async def scenario(client: Client) -> None:
        def stored() -> str:
            [(value,)] = system.query("SELECT password_hash FROM accounts WHERE username = 'older'")
            return str(value)

        assert (await client.login("older", WRONG)).status == 401
        assert stored() == others
        assert (await client.login("older", RIGHT)).status == 200
        assert "$m=8,t=1,p=1$" in (renewed := stored())
        assert renewed.startswith("$pepper$tests$argon2id$")
        assert (await client.login("older", RIGHT)).status == 200
        assert stored() == renewed

    run(system, scenario)


def test_no_account_is_made_without_the_log(start_system: StartSystem):
    """503 while no worker lives, and nothing is kept of it; afterwards it works."""
    system = start_system({**CHEAPEST, "CERROJO_DEADLINE_SECONDS": "3"})

    async def scenario(client: Client) -> None:
        await asyncio.to_thread(system.wait_for_all_ready)
        workers = system.pids("worker partition")
        system.signal("workers", signal.SIGSTOP)  # they would start them again at once
        for pid in workers:  # at once: who has heard of none for two seconds asks for no verdict
            os.kill(pid, signal.SIGKILL)
        # The first waits for a verdict in vain; then it is known that nobody would give one.
        none, nobody = "No verdict came in time", "Nobody can decide"
        for reason in ((none, nobody), (nobody,)):  # or it is known at once, on a busy machine
            answer = await client.post("/register", body("too-early"))
            assert (answer.status, list(answer.body)) == (503, ["error", "code"])
            assert answer.body["error"].startswith(reason)
            assert answer.retry_after >= 1
            assert system.query("SELECT FROM accounts WHERE username = 'too-early'") == []

    run(system, scenario, patient=False)
    system.wait_for(Ready, "workers", 2)  # the frozen one has been replaced

    async def afterwards(client: Client) -> None:
        await until(lambda: client.post("/register", body("too-early")), lambda a: a.status != 503)
        assert (await client.login("too-early", RIGHT)).status == 200

    run(system, afterwards)


def test_a_taken_name_is_answered_quietly_where_that_is_wished(start_system: StartSystem):
    """Like one that is made; and its owner's password stays."""
    system = start_system({**CHEAPEST, "CERROJO_REGISTRATION": "quiet"})

    async def scenario(client: Client) -> None:
        first = await client.post("/register", body("quiet"))
        second = await client.post("/register", body("quiet", "another password"))
        assert (
            (first.status, first.body) == (second.status, second.body) == (201, {"success": True})
        )
        assert list(first.headers) == list(second.headers)
        assert (await client.login("quiet", RIGHT)).status == 200
        assert (await client.login("quiet", "another password")).status == 401
        assert system.metrics()['cerrojo_registrations_total{result="taken"}'] == 1

    run(system, scenario)
