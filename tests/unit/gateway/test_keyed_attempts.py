"""A key makes repeated requests one attempt, in one process and across them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from events.messages import Decision, Verdict
from gateway.blocklist.blocklist import Blocklist
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    KeyReusedError,
    NotDeliveredError,
    RequestError,
    UnavailableError,
)
from gateway.keyed_attempts import RECENT_MS, KeyedAttempts, ServiceAttempt, id_of
from gateway.postgres.first_decision import FirstDecision

ID = id_of("shop", "ana", b"k")
RIGHT = ServiceAttempt("ana", True, "192.0.2.7", None)
WRONG = RIGHT._replace(right=False)
FIRST = FirstDecision(True, "192.0.2.7", None, 0, 0)
NOW_MS = 1_800_000_000_000


class World:
    """A process with a database that has this row, and a log that answers so."""

    def __init__(self, row: FirstDecision | None, *answers: Decision | Exception) -> None:
        self.blocklist = Blocklist()
        self.keyed = KeyedAttempts(self, self.blocklist, lambda: NOW_MS)
        self.row, self.answers = row, list(answers)
        self.asked, self.looked_up = 0, 0

    async def run(self, query: Callable[..., Awaitable[Any]], seconds: float) -> Any:
        """The row, for a query that this takes for the only one."""
        self.looked_up += 1
        return self.row

    async def ask(self) -> Verdict:
        """The next answer of the log."""
        self.asked += 1
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Verdict(ID, "ana", answer, 0)

    async def decide(self, attempt: ServiceAttempt = RIGHT) -> Verdict:
        """Of a process that has known its partitions for long."""
        self.keyed._partitions_since = time.monotonic() - RECENT_MS / 1000 - 1
        return await self.keyed.decide(ID, attempt, time.monotonic() + 5, self.ask)


def decide(world: World, *attempts: ServiceAttempt) -> list[Any]:
    """What becomes of these, which come at the same moment."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(world.decide, attempts), return_exceptions=True)

    return asyncio.run(all_of_them())


def test_an_id_is_of_service_user_and_key() -> None:
    """Wherever one of them ends."""
    ids = {id_of(*parts) for parts in [
        ("shop", "ana", b"k"), ("shop", "ana", b"l"), ("shop", "anak", b""), ("shopana", "", b"k"),
        ("shop", "bob", b"k"), ("mail", "ana", b"k"),
    ]}  # fmt: skip
    assert len(ids) == 6
    assert all(len(id_) == 16 for id_ in ids)
    assert id_of("shop", "ana", b"k") == ID


def test_the_first_of_all_is_decided_by_the_log() -> None:
    """Postgres is not asked."""
    world = World(None, Decision.ACCEPTED)
    [verdict] = decide(world, RIGHT)
    assert (verdict.decision, world.asked, world.looked_up) == (Decision.ACCEPTED, 1, 0)


def test_those_that_come_at_once_are_one() -> None:
    """The log is asked once, and all have its verdict, or its error."""
    world = World(None, Decision.ACCEPTED)
    assert [v.decision for v in decide(world, *[RIGHT] * 5)] == [Decision.ACCEPTED] * 5
    world = World(None, NotDeliveredError("away"))
    assert [type(error) for error in decide(world, *[RIGHT] * 5)] == [NotDeliveredError] * 5


def test_one_with_another_body_is_refused_by_what_the_log_has() -> None:
    """Whichever of them this process had first."""
    world = World(FIRST, Decision.REPEATED, Decision.REPEATED)
    wrong, right = decide(world, WRONG, RIGHT)
    assert isinstance(wrong, KeyReusedError)
    assert right.decision == Decision.ACCEPTED


@pytest.mark.parametrize(
    "row",
    [
        FIRST._replace(right_password=False),
        FIRST._replace(source=None),
        FIRST._replace(user_agent="curl"),
    ],
)
def test_a_repetition_has_to_be_the_same(row: FirstDecision) -> None:
    """All of its body is in the audit."""
    [error] = decide(World(row, Decision.REPEATED), RIGHT)
    assert isinstance(error, KeyReusedError)


def test_a_repetition_has_the_first_decision() -> None:
    """A block's end with it."""
    row = FIRST._replace(decision=2, until_ms=7)
    [verdict] = decide(World(row, Decision.REPEATED), RIGHT)
    assert verdict == Verdict(ID, "ana", Decision.BLOCKED, 7)


def test_a_repetition_of_what_nobody_has_is_not_decided() -> None:
    """As when the database went back: nothing is granted."""
    [error] = decide(World(None, Decision.REPEATED), RIGHT)
    assert isinstance(error, UnavailableError)


@pytest.mark.parametrize(
    ("attempt", "heard"), [(WRONG, Decision.ACCEPTED), (RIGHT, Decision.REJECTED)]
)
def test_the_verdict_on_another_process_attempt_is_not_taken(
    attempt: ServiceAttempt, heard: Decision
) -> None:
    """Two processes may read the same reply partition, and wait for the same id."""
    row = FIRST._replace(right_password=heard == Decision.ACCEPTED, decision=int(heard))
    [error] = decide(World(row, heard), attempt)
    assert isinstance(error, KeyReusedError)


@pytest.mark.parametrize("block", [BlockedError(7), BlockedForGoodError()])
def test_a_block_that_stands_behind_the_attempt_does_not_hide_its_verdict(
    block: RequestError,
) -> None:
    """The fifth wrong one blocks; its sender may not have heard that it was revealed."""
    row = FIRST._replace(right_password=False, decision=1)
    [verdict] = decide(World(row, block), WRONG)
    assert verdict.decision == Decision.REJECTED
    [error] = decide(World(None, block), WRONG)
    assert error is block


def test_a_process_that_knows_new_partitions_looks_up_first() -> None:
    """A partition does not know the ids of the former one. So does one that has just begun."""

    async def scenario() -> list[int]:
        world = World(FIRST, *[Decision.ACCEPTED] * 3)
        looked_up = []
        due = time.monotonic() + 5
        for partitions, later in ((4, 0.0), (4, RECENT_MS / 1000 + 1), (8, 0.0), (8, 0.0)):
            world.blocklist.partitions = partitions
            world.keyed._partitions_since -= later
            verdict = await world.keyed.decide(ID, RIGHT, due, world.ask)
            assert verdict.decision == Decision.ACCEPTED
            looked_up.append(world.looked_up)
        return looked_up

    assert asyncio.run(scenario()) == [1, 1, 2, 3]
