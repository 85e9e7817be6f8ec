"""What happens in a running system is told to a receiver."""

from __future__ import annotations

import jsonschema
import psycopg

from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.operators import add_operator
from tests.harness.receiver import Receiver
from tests.harness.waiting import wait_until
from workers.relay import webhooks
from workers.relay.documents import json_schema

TOKEN = "a-token-of-vera"


def test_a_relay_that_is_killed_has_a_successor(system: RunningSystem):
    """What happened meanwhile is told, and the restart is counted."""
    restarts = 'cerrojo_process_restarts_total{role="relay"}'
    wait_until(lambda: system.metrics(system.workers_url)["cerrojo_events_leads"] == 1)
    before = system.metrics(system.workers_url)[restarts]
    system.kill("relay")

    async def scenario(client: Client) -> None:
        for _ in range(5):
            assert (await client.login("events.ben", "a wrong password")).status == 401

    with Receiver() as receiver:
        with psycopg.connect(system.database_url) as connection:
            webhooks.add(connection, "siem", receiver.url, "cerrojo")
        run(system, scenario)
        wait_until(lambda: any(b["data"].get("user") == "events.ben" for b in receiver.bodies))
        with psycopg.connect(system.database_url) as connection:
            webhooks.remove(connection, "siem")
    assert system.metrics(system.workers_url)[restarts] > before


def test_a_receiver_hears_of_blocks_and_operators(system: RunningSystem):
    """Of a block by wrong passwords, who lifted it and why, and who logged in at the console."""
    add_operator(system.database_url, "Vera", TOKEN)

    async def scenario(client: Client) -> None:
        for _ in range(5):
            assert (await client.login("events.ana", "a wrong password")).status == 401
        answer = await client.operator(
            "DELETE", "/blocked/events.ana", {"reason": "it was her"}, TOKEN
        )
        assert answer.status == 200, answer
        assert (await client.operator("POST", "/session", {"token": TOKEN})).status == 200
        refused = await client.operator("POST", "/session", {"token": "not hers"})
        assert refused.status == 401

    with Receiver() as receiver:
        with psycopg.connect(system.database_url) as connection:
            webhooks.add(connection, "siem", receiver.url, "cerrojo")
        run(system, scenario)

        def ours() -> list[str]:
            return [
                body["type"]
                for body in receiver.bodies
                if body["data"].get("user") == "events.ana"
                or body["data"].get("operator") == "Vera"
            ]

        wait_until(lambda: len(ours()) >= 3)
        with psycopg.connect(system.database_url) as connection:
            webhooks.remove(connection, "siem")
    # The login is of no account, and may come before what was told of one.
    assert sorted(ours()) == ["account.blocked", "account.unblocked", "operator.login"]
    assert ours().index("account.blocked") < ours().index("account.unblocked")
    lifted = next(body for body in receiver.bodies if body["type"] == "account.unblocked")
    assert (lifted["data"]["operator"], lifted["data"]["reason"]) == ("Vera", "it was her")
    for body in receiver.bodies:
        jsonschema.Draft202012Validator(json_schema()).validate(body)
