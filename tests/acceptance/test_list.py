"""A block is visible when it is answered."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from tests.acceptance.raw import exchange, request
from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.operators import OPERATOR

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


@pytest.mark.parametrize(
    "name",
    [
        "/abc",
        "//abc",
        "abc/",
        "a//b",
        "///",
        "../abc",
        "a/../b",
        "./abc",
        "a/.",
        "...",
        "a?b=c",
        "a#b",
        "100%",
        "%41bc",
        "%2fabc",
        "%25%",
        "a;b,c",
        "a+b&c",
        "a\\b",
        "\u00e4/\u4e2d",
    ],
)
def test_every_name_can_be_shown_and_unblocked(system: RunningSystem, name: str):
    """The characters may mean anything in a path; slashes come as they are, or encoded."""

    async def block(client: Client) -> None:
        for _ in range(5):
            assert (await client.login_once_heard(name, WRONG)).status == 401

    def ask(method: str, path: str) -> tuple[int, object]:
        answer = exchange(system.operator_url, request(method, path, headers=OPERATOR))
        return answer.status, answer.body

    for path in (f"/blocked/{quote(name, safe='')}", f"/blocked/{quote(name)}"):
        run(system, block)
        status, body = ask("GET", path)
        assert status == 200, body
        assert isinstance(body, dict)
        assert body["user"] == name
        assert ask("DELETE", path) == (200, {"unblocked": True})
        assert ask("GET", path)[0] == 404
        assert ask("DELETE", path) == (
            404,
            {"error": "This account is not blocked", "code": "not_found"},
        )
