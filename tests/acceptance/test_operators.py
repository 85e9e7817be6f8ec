"""What operators do stands in the audit with their names, and a block by hand refuses everybody."""

from __future__ import annotations

from typing import Any

from gateway.operators import Role
from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.command import said
from tests.harness.operators import add_operator

RIGHT, WRONG, NEW = "a good password", "a wrong password", "another good password"
TOKEN = "a-token-of-cleo"
READER = "a-token-of-dan"


def test_each_change_says_who_did_it_and_why(system: RunningSystem):
    """In the order of the log; a person's own changes are nobody's else."""
    add_operator(system.database_url, "Cleo", TOKEN)

    async def scenario(client: Client) -> None:
        async def change(method: str, path: str, **body: Any) -> None:
            answer = await client.operator(method, path, {**body, "reason": f"why {path}"}, TOKEN)
            assert answer.status in (200, 201), answer

        await change("POST", "/accounts", user="ops.eva", **{"pass": RIGHT})
        for _ in range(5):
            assert (await client.login("ops.eva", WRONG)).status == 401
        await change("DELETE", "/blocked/ops.eva")
        await change("PATCH", "/accounts/ops.eva", disabled=True)
        await change("PATCH", "/accounts/ops.eva", disabled=False)
        await change("DELETE", "/accounts/ops.eva/devices")
        await change("PUT", "/accounts/ops.eva/password", **{"pass": NEW})
        assert (await client.login_once_heard("ops.eva", NEW)).status == 200
        shown = (await client.operator("GET", "/attempts?user=ops.eva")).body["attempts"]
        by_somebody = [
            (one["kind"], one["operator"], one["reason"])
            for one in reversed(shown)
            if one["kind"] != "attempt"
        ]
        assert by_somebody == [
            ("registered", "Cleo", "why /accounts"),
            ("unblock", "Cleo", "why /blocked/ops.eva"),
            ("disabled", "Cleo", "why /accounts/ops.eva"),
            ("enabled", "Cleo", "why /accounts/ops.eva"),
            ("devices", "Cleo", "why /accounts/ops.eva/devices"),
            ("password", "Cleo", "why /accounts/ops.eva/password"),
        ]
        assert {one["operator"] for one in shown if one["kind"] == "attempt"} == {None}
        # No reason need be given; one that cannot be shown is refused, and nothing is done.
        assert (await client.operator("DELETE", "/blocked/ops.eva", token=TOKEN)).status == 404
        for bad in ("a" * 201, "a\0b"):
            refused = await client.operator("DELETE", "/blocked/ops.eva", {"reason": bad}, TOKEN)
            assert (refused.status, refused.body["code"]) == (400, "invalid")
        # A deletion leaves neither the name nor what was said of it, but who did it.
        await change("DELETE", "/accounts/ops.eva")

    run(system, scenario)
    rows = system.query(
        "SELECT kind, username, reason FROM audit WHERE operator = 'Cleo' ORDER BY appended_ms"
    )
    assert len(rows) == 8
    assert {(name, reason) for kind, name, reason in rows if kind != "deleted"} == {("", None)}
    assert [row for row in rows if row[0] == "deleted"] == [
        ("deleted", "", "why /accounts/ops.eva")
    ]
    report = said(system.env, "verify")
    assert report["differences"] == []
    assert report["unjudged"] < report["rows"]


def test_a_block_by_hand_refuses_everybody_until_it_is_lifted(system: RunningSystem):
    """A device that is known, too; and nobody but an operator ends it."""
    add_operator(system.database_url, "Dan", READER, Role.READ)

    async def scenario(client: Client) -> None:
        await client.register("ops.fay", RIGHT)
        device = await client.device("ops.fay", RIGHT)
        path = "/blocked/ops.fay"
        for body in ({}, {"reason": " "}, {"reason": "x", "seconds": 0}, {"seconds": 5}):
            assert (await client.operator("POST", path, body)).status == 400
        order = {"reason": "the phone is stolen"}
        refused = await client.operator("POST", path, order, READER)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        blocked = await client.operator("POST", path, order)
        assert (blocked.status, blocked.body) == (200, {"blocked": True, "until": None})
        shown = (await client.operator("GET", path)).body
        assert (shown["until"], shown["why"]) == (None, "by hand: the phone is stolen")
        listed = (await client.operator("GET", "/blocked?limit=100000")).body
        assert "ops.fay" in listed["users-blocked"]
        for known in ("", device):
            assert (await client.login("ops.fay", RIGHT, known)).status == 403
        assert (await client.attempt("ops.fay", "right")).body["verdict"] == "blocked"
        shorter = await client.operator("POST", path, {**order, "seconds": 1})
        assert shorter.body["until"] is None
        assert (await client.operator("DELETE", path)).status == 200
        assert (await client.login_once_heard("ops.fay", RIGHT, device)).status == 200

    run(system, scenario)


def test_a_block_by_hand_does_not_end_with_a_registration(system: RunningSystem):
    """A name that only a service knows could else be freed by whoever registers it."""

    async def scenario(client: Client) -> None:
        blocked = await client.operator("POST", "/blocked/ops.gil", {"reason": "a bot"})
        assert blocked.status == 200
        await client.register("ops.gil", RIGHT)
        assert (await client.login("ops.gil", RIGHT)).status == 403
        assert (await client.operator("DELETE", "/blocked/ops.gil")).status == 200

    run(system, scenario)


def test_a_block_by_hand_ends_with_its_time(system: RunningSystem):
    """By the brokers' clock."""

    async def scenario(client: Client) -> None:
        await client.register("ops.ida", RIGHT)
        order = {"reason": "she asked for it", "seconds": 1}
        blocked = await client.operator("POST", "/blocked/ops.ida", order)
        assert blocked.body["until"] is not None
        assert (await client.login_once_heard("ops.ida", RIGHT)).status == 200

    run(system, scenario)


def test_the_command_blocks_for_so_long(system: RunningSystem):
    """And says until when."""
    answer = said(system.env, "block", "ops.hal", "--reason", "robbed", "--for", "2h")
    assert answer["blocked"] is True
    (found,) = said(system.env, "blocked", "ops.hal", "--details")["blocked"]
    assert (found["until"], found["why"]) == (answer["until"], "by hand: robbed")
    said(system.env, "unblock", "ops.hal", "--reason", "it was a mistake")
    first, *_ = said(system.env, "attempts", "ops.hal")["attempts"]
    assert (first["kind"], first["operator"], first["reason"]) == (
        *("unblock", "tests", "it was a mistake"),
    )


def test_the_commands_for_accounts_say_why(system: RunningSystem):
    """Each of them, to who reads the audit."""
    words = ("accounts", "create", "ops.jon", "--reason", "new here")
    said(system.env, *words, given=f"{RIGHT}\n")
    said(system.env, "accounts", "disable", "ops.jon", "--reason", "on leave")
    said(system.env, "accounts", "forget-devices", "ops.jon", "--reason", "laptop lost")
    found = said(system.env, "attempts", "ops.jon")["attempts"]
    assert [(one["kind"], one["reason"]) for one in found] == [
        *(("devices", "laptop lost"), ("disabled", "on leave"), ("registered", "new here")),
    ]
    said(system.env, "accounts", "delete", "ops.jon", "--yes", "--reason", "never came")
    rows = system.query(
        "SELECT operator FROM audit WHERE kind = 'deleted' AND reason = 'never came'"
    )
    assert rows == [("tests",)]


def test_the_blocks_of_a_list_are_lifted_with_one_reason(system: RunningSystem):
    """Each stands in the audit with who did it and why; what cannot be lifted is told."""
    add_operator(system.database_url, "Cleo", TOKEN)
    add_operator(system.database_url, "Dan", READER, Role.READ)
    users = [f"ops.many{n}" for n in range(40)]
    body = {"users": [*users, "ops.nobody", "no name"], "reason": "the attack is over"}

    async def scenario(client: Client) -> None:
        for user in users:
            order = {"reason": "an attack"}
            assert (await client.operator("POST", f"/blocked/{user}", order)).status == 200
        refused = await client.operator("DELETE", "/blocked", body, READER)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        lines = await client.operator_lines("DELETE", "/blocked", body, TOKEN)
        found = {one["user"]: one for one in lines}
        assert len(lines) == len(found) == 42
        assert [user for user in users if not found[user]["unblocked"]] == []
        assert found["ops.nobody"]["code"] == "not_found"
        assert found["no name"]["code"] == "invalid"
        listed = (await client.operator("GET", "/blocked?details=1&text=ops.many")).body
        assert listed["blocked"] == []

    run(system, scenario)
    rows = system.query(
        "SELECT username, operator FROM audit WHERE kind = 'unblock' AND decision = 0"
        " AND starts_with(username, 'ops.many') AND reason = 'the attack is over'"
    )
    assert sorted(rows) == sorted((user, "Cleo") for user in users)
