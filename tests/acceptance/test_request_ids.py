"""What an answer says of itself leads to the decision that it is about."""

from __future__ import annotations

import asyncio
import re
from urllib.request import urlopen

from tests.acceptance.system import Answer, Client, RunningSystem, run

RIGHT = "a good password"
WRONG = "a wrong password"
MADE_UP = "0123456789abcdef0123456789abcdef"


def id_of(answer: Answer) -> str:
    """The id in this answer, which must have one."""
    found = answer.headers.getall("X-Request-ID")  # type: ignore[attr-defined]
    assert len(found) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", found[0])
    return str(found[0])


def kinds(system: RunningSystem, user: str) -> dict[str, tuple[str, bool | None]]:
    """The kinds and outcomes of this user's decided rows of the audit, by their ids."""
    rows = system.query(
        "SELECT encode(id, 'hex'), kind, right_password FROM audit"
        " WHERE username = %s AND decision < 3",
        user,
    )
    found = {row[0]: (row[1], row[2]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_each_answer_leads_to_its_row(system: RunningSystem):
    """Of logins at the same time, too; and what an operator did has its row as well."""
    user = "traceable"

    async def scenario(client: Client) -> None:
        registered = await client.post("/register", {"user": user, "pass": RIGHT})
        right = await asyncio.gather(*(client.login(user, RIGHT) for _ in range(20)))
        wrong = await asyncio.gather(*(client.login(user, WRONG) for _ in range(5)))
        expected = {id_of(answer): ("attempt", True) for answer in right}
        expected |= {id_of(answer): ("attempt", False) for answer in wrong}
        expected[id_of(registered)] = ("registered", None)
        lifted = await client.operator("DELETE", f"/blocked/{user}")
        assert lifted.status == 200
        expected[id_of(lifted)] = ("unblock", None)
        assert len(expected) == 27
        assert kinds(system, user) == expected
        listed = (await client.operator("GET", f"/attempts?user={user}")).body["attempts"]
        assert {row["id"] for row in listed} == expected.keys()

    run(system, scenario)


def test_a_service_s_repeated_attempt_says_the_id_of_its_one_row(system: RunningSystem):
    """Else the answer to the repetition would lead nowhere."""
    user = "repeated-and-traced"

    async def scenario(client: Client) -> None:
        answers = [await client.attempt(user, "wrong", key="the-same-key-0001") for _ in range(2)]
        other = await client.attempt(user, "wrong")
        first, second = map(id_of, answers)
        assert first == second
        assert kinds(system, user) == {
            first: ("attempt", False),
            id_of(other): ("attempt", False),
        }

    run(system, scenario)


def test_a_guess_with_an_id_of_another_one_counts(system: RunningSystem):
    """Whoever could choose the id could have the log take a guess for a repetition."""
    user = "not-fooled"

    async def scenario(client: Client) -> None:
        body = {"user": user, "pass": WRONG}
        headers = [("X-Request-ID", MADE_UP)]
        answers = [await client.post("/login", body, headers) for _ in range(6)]
        assert [answer.status for answer in answers] == [401] * 5 + [429]
        ids = {id_of(answer) for answer in answers}
        assert len(ids) == 6
        assert MADE_UP not in ids

    run(system, scenario)


def test_errors_and_pages_have_one_as_well(system: RunningSystem):
    """A person that asks for help has mostly met an error."""

    async def scenario(client: Client) -> None:
        answers = [
            await client.post("/login", {"user": ""}),
            await client.post("/login", "no object"),
            await client.post("/nowhere", {}),
            await client.session("nonsense"),
            await client.operator("GET", "/blocked?limit=0"),
            await client.operator("DELETE", "/login"),
        ]
        assert [answer.status for answer in answers] == [400, 400, 404, 401, 400, 404]
        assert len(set(map(id_of, answers))) == 6

    run(system, scenario)
    for path in ("/", "/metrics", "/openapi.json"):
        with urlopen(system.operator_url + path, timeout=60) as answer:  # noqa: S310  # http
            assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
