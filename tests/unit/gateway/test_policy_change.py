"""A policy is put in place of the one that its sender looked at, or nothing is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from events.messages import Decision, Policy, SetPolicy, Verdict, new_id
from gateway import policy_change
from gateway.errors import (
    NoPolicyKeyError,
    NotDeliveredError,
    PolicyChangedError,
    RequestError,
    UnavailableError,
)
from gateway.kafka.verdict_client import Destination, MakeRequest
from gateway.operators import By
from gateway.policy_change import PolicyChange
from gateway.postgres.policies import PolicyNow

PARTITIONS = 3
BY = By("cleo", "the audit of May")
STRICT = Policy(version=4, threshold=3)


class World:
    """A database with the policy of each partition, and their logs."""

    def __init__(self) -> None:
        self.policies = [Policy(version=4)] * PARTITIONS
        self.asked: list[tuple[int, SetPolicy]] = []
        self.failing: dict[int, RequestError] = {}
        self.unheard: set[int] = set()
        """The partitions that decide, and whose verdicts do not arrive."""
        self.waiting: dict[int, Policy] = {}
        """What stands in a partition's log before what is asked, and is not decided yet."""
        self.signs_policies = True
        self.alone = True

    async def run(self, query: Callable[[Any], Awaitable[Any]], seconds: float) -> Any:
        """The query, with this in the place of the connection."""
        return await query(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Of this connection."""
        yield

    async def ask(
        self, user: str, destination: Destination, seconds: float, request: MakeRequest
    ) -> Verdict:
        """What a partition's worker decides."""
        assert (user, destination.partitions) == ("", PARTITIONS)
        made = request(new_id(), 7, destination.partitions)
        assert isinstance(made, SetPolicy)
        number = destination.partition
        self.asked.append((number, made))
        if number in self.failing:
            raise self.failing[number]
        self.policies[number] = self.waiting.get(number, self.policies[number])
        newer = made.policy.version > self.policies[number].version
        if newer:
            self.policies[number] = made.policy
        if number in self.unheard:
            raise UnavailableError("No verdict came in time")
        return Verdict(made.id, "", Decision.ACCEPTED if newer else Decision.REJECTED, 0)

    def put(self, policy: Policy) -> PolicyNow:
        """What is in force afterwards."""
        change = PolicyChange(self, self)
        return asyncio.run(change.put(policy, time.monotonic() + 60, BY))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Its queries are those of :mod:`gateway.postgres.policies`, on the world itself."""

    async def select_policy(world: World) -> PolicyNow:
        newest = max(world.policies, key=lambda policy: policy.version)
        behind = [number for number, policy in enumerate(world.policies) if policy != newest]
        return PolicyNow(newest, None, PARTITIONS, behind, None)

    async def nobody_else_changes(world: World) -> bool:
        return world.alone

    monkeypatch.setattr(policy_change, "select_policy", select_policy)
    monkeypatch.setattr(policy_change, "nobody_else_changes", nobody_else_changes)
    return World()


def test_it_is_in_force_everywhere_as_the_next_version(world: World) -> None:
    """With who and why in each partition's record."""
    found = world.put(STRICT)
    assert (found.policy, found.behind) == (Policy(version=5, threshold=3), [])
    assert [number for number, _ in world.asked] == [0, 1, 2]
    assert {(made.policy, made.operator, made.reason) for _, made in world.asked} == {
        (found.policy, *BY)
    }


@pytest.mark.parametrize("version", [0, 3, 5])
def test_what_was_made_from_another_policy_changes_nothing(world: World, version: int) -> None:
    """Somebody else changed it meanwhile, and would be overwritten."""
    with pytest.raises(PolicyChangedError, match=f"Policy 4 is in force, .* from {version}"):
        world.put(Policy(version=version, threshold=3))
    assert world.asked == []


def test_what_is_in_force_is_not_put_there_again(world: World) -> None:
    """Also where the answer to the first request was lost."""
    world.put(STRICT)
    world.asked.clear()
    assert world.put(STRICT).policy.version == 5
    assert world.put(Policy(version=5, threshold=3)).policy.version == 5
    assert world.asked == []


def test_partitions_without_a_worker_are_named(world: World) -> None:
    """The others have it, and the same request brings it there later."""
    world.failing = {2: UnavailableError("No verdict came in time")}
    assert world.put(STRICT).behind == [2]
    assert world.put(STRICT).behind == [2]
    world.failing = {}
    found = world.put(STRICT)
    assert (found.policy, found.behind) == (Policy(version=7, threshold=3), [])


@pytest.mark.parametrize("numbers", [(0,), (0, 1, 2)])
def test_one_that_waited_in_a_log_is_not_told_as_this_one(
    world: World, numbers: tuple[int, ...]
) -> None:
    """It had the same version, and its sender was told that nothing was decided yet."""
    world.waiting = dict.fromkeys(numbers, Policy(version=5, threshold=9))
    with pytest.raises(PolicyChangedError, match="came first"):
        world.put(STRICT)


def test_a_verdict_that_is_lost_loses_nothing(world: World) -> None:
    """What is in force is what Postgres has."""
    world.unheard = {0, 1, 2}
    assert world.put(STRICT).behind == []


def test_where_no_partition_has_it_nothing_is_promised(world: World) -> None:
    """As when Kafka is away."""
    world.failing = dict.fromkeys(range(PARTITIONS), NotDeliveredError("Kafka is not available"))
    with pytest.raises(UnavailableError, match="may come into force all the same"):
        world.put(STRICT)


def test_nothing_is_done_beside_another_change(world: World) -> None:
    """Of the policy or of the partitions: the new ones begin with the policy as it is."""
    world.alone = False
    with pytest.raises(UnavailableError, match="Somebody else"):
        world.put(STRICT)
    assert world.asked == []


def test_without_a_key_it_says_how_to_get_one(world: World) -> None:
    """Nobody would believe the record."""
    world.signs_policies = False
    with pytest.raises(NoPolicyKeyError, match="cerrojo keys signing allow-policy") as refused:
        world.put(STRICT)
    assert "`cerrojo policy`" in str(refused.value)
    assert world.asked == []
