"""Five means five, and nobody is refused who should not be."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.acceptance.conftest import StartSystem
from tests.acceptance.system import CHEAPEST, Answer, Client, RunningSystem, run, statuses

ACCOUNTS = 10
GUESSES = 200
RIGHT = "the right password"
WRONG = "a wrong password"

# A busy machine may take longer for a hundred hashes than a login's default deadline.
PATIENT = {"CERROJO_DEADLINE_SECONDS": "80"}
MANY_IN_FLIGHT = {
    "CERROJO_DEADLINE_SECONDS": "30",
    **CHEAPEST,
    "CERROJO_CHECKS_PER_USER": "1000",
}


@pytest.fixture(
    scope="module",
    params=[PATIENT, MANY_IN_FLIGHT],
    ids=["the default settings", "1000 checks in flight, the cheapest hash"],
)
def system(start_system: StartSystem, request: pytest.FixtureRequest) -> RunningSystem:
    """Two gateway processes; the second time the log alone has to hold them back."""
    return start_system(request.param, shared=True)


def assert_blocked_at_five(answers: list[Answer]) -> None:
    """Exactly five wrong answers, and the rest told to wait."""
    assert statuses(answers) == {401: 5, 429: len(answers) - 5}
    assert all(a.retry_after in range(1770, 1801) for a in answers if a.status == 429)


def test_of_two_hundred_wrong_ones_at_once_exactly_five_are_revealed(system: RunningSystem):
    """The promise, for ten accounts one after the other."""

    async def scenario(client: Client) -> None:
        for number in range(ACCOUNTS):
            assert_blocked_at_five(await client.at_once(f"guessed{number}", [WRONG] * GUESSES))

    run(system, scenario)


def test_a_right_one_among_them_is_accepted_exactly_if_the_log_had_not_blocked(
    system: RunningSystem,
):
    """The log's order decides, and the audit shows it."""
    luck = random.Random(5)

    async def attack(client: Client, number: int) -> list[Answer]:
        user = f"lucky{number}"
        await client.register(user, RIGHT)
        passwords = [WRONG] * (GUESSES - 1)
        passwords.insert((0, luck.randrange(12), luck.randrange(GUESSES))[number % 3], RIGHT)
        return [
            answer
            for password, answer in zip(
                passwords, await client.at_once(user, passwords), strict=True
            )
            if not (password == RIGHT and judge_right(answer, user))
        ]

    def judge_right(answer: Answer, user: str) -> bool:
        before = system.query(
            "SELECT count(*) FROM audit a JOIN audit mine USING (username, partition)"
            " WHERE username = %s AND mine.right_password AND NOT a.right_password"
            " AND a.decision = 1 AND a.log_offset < mine.log_offset",
            user,
        )[0][0]
        in_log = system.query(
            "SELECT decision FROM audit WHERE username = %s AND right_password", user
        )
        if answer.status == 200:
            assert in_log == [(0,)]
            assert before < 5
        else:  # refused by the log, or by the blocklist, which has it from the log
            assert answer.status == 429
            assert in_log in ([], [(2,)])
        return True

    async def scenario(client: Client) -> None:
        accepted = 0
        for number in range(ACCOUNTS):
            wrong_ones = await attack(client, number)
            revealed = statuses(wrong_ones)
            got_in = system.query(
                "SELECT 1 FROM audit WHERE username = %s AND right_password AND decision = 0",
                f"lucky{number}",
            )
            accepted += len(got_in)
            assert revealed[401] in (range(5, 10) if got_in else [5])
            assert sum(revealed.values()) == GUESSES - 1
            assert set(revealed) == {401, 429}
        assert accepted, "no password was tried before the block, so this showed nothing"

    run(system, scenario)


def test_a_hundred_right_ones_at_once_all_get_in(system: RunningSystem):
    """Nobody is refused for logging in often, and not for four mistakes before either."""

    async def scenario(client: Client) -> None:
        for user, mistakes in (("often", 0), ("often after mistakes", 4)):
            user = user.replace(" ", "-")
            await client.register(user, RIGHT)
            for _ in range(mistakes):
                assert (await client.login(user, WRONG)).status == 401
            answers = await client.at_once(user, [RIGHT] * 100)
            assert [answer for answer in answers if answer.status != 200] == []

    run(system, scenario)


@pytest.fixture(scope="module")
def only_the_log(start_system: StartSystem) -> RunningSystem:
    """A system that checks every password at once, as the last one of the others."""
    return start_system(MANY_IN_FLIGHT, shared=True)


def test_the_log_alone_decides_where_no_verdict_comes_for_a_while(only_the_log: RunningSystem):
    """Most of two hundred are checked and in the log before the first verdict is given."""
    system = only_the_log

    async def scenario(client: Client) -> None:
        decided = 0
        for number in range(ACCOUNTS):
            user = f"delayed{number}"
            before = system.log_size()
            system.signal("worker partition", signal.SIGSTOP)
            try:
                attack = asyncio.ensure_future(client.at_once(user, [WRONG] * GUESSES))
                # Workers that are silent for much longer are taken for dead.
                await asyncio.to_thread(system.wait_for_log, before + GUESSES // 2 + 1, 3.0)
            finally:
                system.signal("worker partition", signal.SIGCONT)
            assert_blocked_at_five(await attack)
            decided += system.query("SELECT count(*) FROM audit WHERE username = %s", user)[0][0]
        assert decided > ACCOUNTS * 20, "the blocklists refused them, not the log"

    run(system, scenario)
