"""`kill -9` under load: nothing is lost or counted twice, and logins work again by themselves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict

import aiohttp
import pytest

from processes import Exited, Ready
from tests.acceptance.system import Client, RunningSystem, run
from tests.harness.waiting import until, wait_until

CLIENTS = 16
RIGHT, WRONG = "the right password", "a wrong password"

Answers = dict[str, Counter[int]]
"""How often each user was answered each status."""

ACCEPTED, REJECTED, BLOCKED = 0, 1, 2


async def load(client: Client, answers: Answers, enough: asyncio.Event) -> None:
    """Log in as anybody, mostly wrongly, until it is enough; note what was answered."""
    luck = random.Random()
    while not enough.is_set():
        user = luck.choice(list(answers))
        password = RIGHT if luck.random() < 0.3 else WRONG
        try:
            answer = await client.login(user, password)
        except aiohttp.ClientError:
            continue  # its process was killed
        assert answer.status in (200, 401, 429, 503), answer
        answers[user][answer.status] += 1


def replay(rows: list[tuple[bool, int]]) -> tuple[list[int], int, bool]:
    """The decisions that one account's (password right?, decision) rows should have had."""
    wrong, blocked, decisions = 0, False, []
    for right, _ in rows:
        if blocked:
            decisions.append(BLOCKED)
        elif right:
            wrong = 0
            decisions.append(ACCEPTED)
        else:
            wrong += 1
            blocked = wrong == 5
            decisions.append(REJECTED)
    return decisions, wrong, blocked


def assert_all_is_right(system: RunningSystem, answers: Answers) -> None:
    """Every record in the log was decided or put aside once, as a replay of the log does it."""
    system.wait_for_all_decided()
    for partition, next_offset in system.query(
        "SELECT partition, next_offset FROM partition_progress"
    ):
        offsets = system.query(
            "SELECT log_offset FROM audit WHERE partition = %s UNION ALL"
            " SELECT log_offset FROM quarantine WHERE partition = %s ORDER BY 1",
            partition,
            partition,
        )
        assert [offset for (offset,) in offsets] == list(range(next_offset))

    rows = defaultdict(list)
    for user, kind, right, decision in system.query(
        "SELECT username, kind, right_password, decision FROM audit ORDER BY partition, log_offset"
    ):
        if kind == "attempt":
            rows[user].append((right, decision))
        else:  # a new account, or an operator's help: it starts anew
            rows[user].clear()
    states = {
        user: (consecutive_failures, until is not None)
        for user, consecutive_failures, until in system.query(
            "SELECT username, in_a_row, blocked_until_ms FROM lock_states"
        )
    }
    for user in answers:
        decisions, wrong, blocked = replay(rows[user])
        assert [decision for _, decision in rows[user]] == decisions, user
        assert states.get(user, (0, False)) == (wrong, blocked), user
        # An answer may have been lost with its process, but none was made up.
        assert answers[user][200] <= decisions.count(ACCEPTED)
        assert answers[user][401] <= decisions.count(REJECTED)


@pytest.mark.parametrize(
    ("victim", "comes_back"),
    [
        ("worker partition 1", "worker partition 1"),
        ("worker partition", "worker partition 0"),
        ("gateway login 1", "gateway login 1"),
        ("gateway operator", "gateway operator"),
        ("workers", "worker partition 0"),
    ],
    ids=["a worker", "all workers", "a gateway process", "the operator process", "the supervisor"],
)
def test_what_is_killed_comes_back_and_nothing_is_lost(
    system: RunningSystem, victim: str, comes_back: str
):
    """The counts and blocks afterwards are those of a replay of the log."""

    async def scenario(client: Client) -> None:
        answers: Answers = {f"{victim.replace(' ', '-')}-{n}": Counter() for n in range(80)}
        for user in answers:
            await client.register(user, RIGHT)
        enough = asyncio.Event()
        clients = [asyncio.ensure_future(load(client, answers, enough)) for _ in range(CLIENTS)]
        await asyncio.to_thread(system.wait_for_log, system.log_size() + 100, 30.0)
        old = system.pids(comes_back)
        system.kill(victim)
        if victim == "workers":
            await asyncio.to_thread(system.wait_for, Exited, "workers")
            await asyncio.to_thread(system.wait_for, Ready, "workers", 2)
        await until(
            lambda: asyncio.to_thread(system.pids, comes_back),
            lambda pids: bool(pids) and not set(pids) & set(old),
        )
        await asyncio.to_thread(system.wait_for_all_ready)
        await asyncio.to_thread(system.wait_for_log, system.log_size() + 50, 30.0)
        enough.set()
        await asyncio.gather(*clients)
        for user in answers:
            answer = await client.login(user, RIGHT)
            assert answer.status in (200, 429), answer
            answers[user][answer.status] += 1
        assert_all_is_right(system, answers)

    run(system, scenario)


def test_who_lost_its_session_takes_no_partition_back(system: RunningSystem):
    """Another host took it, and so its session ended. Which of both goes on, the group says."""
    system.wait_for_all_ready()
    old = system.pids("worker partition 0")
    taken = system.query(
        "WITH taken AS (UPDATE partition_progress SET epoch = epoch + 1, owner = 'another host'"
        " WHERE partition = 0 RETURNING epoch)"
        " SELECT pg_terminate_backend(pid) FROM taken, pg_stat_activity"
        " WHERE application_name = 'cerrojo worker' AND datname = current_database()"
    )
    assert (True,) in taken
    wait_until(lambda: (new := system.pids("worker partition 0")) and not set(new) & set(old))
    assert "somebody else took the partition" in system.logs()
    system.wait_for_all_ready()

    async def scenario(client: Client) -> None:
        await client.register("after-the-theft", RIGHT)
        assert (await client.login("after-the-theft", RIGHT)).status == 200

    run(system, scenario)
