"""The bench's contender is an honest one: its row locks keep its promises."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import psycopg
import pytest

from bench.contender import Decisions
from events.messages import Decision
from gateway.postgres.database import Database
from settings import Settings

SECONDS = 60.0
WRONG, RIGHT = False, True


@pytest.fixture
def decide(database: str) -> Callable[[Iterable[tuple[str, bool]]], list[Decision]]:
    """Has these attempts decided at once, by the pools of two processes in turn."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE contender_decisions")
    settings = Settings(database_url=database, deadline_seconds=SECONDS)

    async def run(attempts: Iterable[tuple[str, bool]]) -> list[Decision]:
        databases = [Database(settings), Database(settings)]
        for each in databases:
            await each.open()
        processes = [Decisions(each, SECONDS) for each in databases]
        asked: list[Awaitable[object]] = [
            processes[number % 2].decide(attempt) for number, attempt in enumerate(attempts)
        ]
        try:
            return [ruling.decision for ruling in await asyncio.gather(*asked)]
        finally:
            for each in databases:
                await each.close()

    return lambda attempts: asyncio.run(run(attempts))


def test_of_wrong_ones_at_once_exactly_five_are_revealed(decide, database: str):
    """Of accounts that have no row yet, and in any batch; and each is in the audit."""
    users = [f"user-{number}" for number in range(7)]
    attempts = [(user, WRONG) for _ in range(60) for user in users]
    decisions = Counter(
        (user, decision) for (user, _), decision in zip(attempts, decide(attempts), strict=True)
    )
    for user in users:
        assert decisions[user, Decision.REJECTED] == 5
        assert decisions[user, Decision.BLOCKED] == 55
    with psycopg.connect(database) as connection:
        audited = connection.execute("SELECT count(*), count(DISTINCT id) FROM audit").fetchone()
        blocked = connection.execute("SELECT username FROM blocked_accounts ORDER BY 1").fetchall()
    assert audited == (420, 420)
    assert [user for (user,) in blocked] == users


def test_right_ones_at_once_all_get_in(decide):
    """After four mistakes, too, and with others in the same batches."""
    assert decide([("often", WRONG)] * 4) == [Decision.REJECTED] * 4
    attempts = [attempt for _ in range(100) for attempt in (("often", RIGHT), ("other", WRONG))]
    decisions = decide(attempts)
    assert decisions[::2] == [Decision.ACCEPTED] * 100
    assert Counter(decisions[1::2])[Decision.REJECTED] == 5


def test_a_right_one_behind_the_block_is_refused(decide):
    """Like a wrong one."""
    decide([("blocked", WRONG)] * 5)
    assert decide([("blocked", RIGHT)]) == [Decision.BLOCKED]


def test_a_success_clears_the_count(decide):
    """As the policy says."""
    for _ in range(3):
        assert decide([("fine", WRONG)] * 4) == [Decision.REJECTED] * 4
        assert decide([("fine", RIGHT)]) == [Decision.ACCEPTED]
