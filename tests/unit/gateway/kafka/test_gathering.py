"""Attempts that wait for each other between hash and log."""

from __future__ import annotations

import asyncio

from gateway.kafka.gathering import SHARE, Gathering

FOR_GOOD = 1_000_000.0
"""Seconds: a deadline that no test lives to see."""


async def waiting(gathering: Gathering, count: int) -> list[asyncio.Task[None]]:
    """So many attempts, which wait already."""
    tasks = [asyncio.create_task(gathering.wait(more_come=True)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_nobody_waits_where_no_more_come() -> None:
    """A lone login has no more to wait for than before."""

    async def run() -> None:
        coroutine = Gathering(FOR_GOOD).wait(more_come=False)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("It has waited")

    asyncio.run(run())


def test_those_that_wait_go_with_the_last_one() -> None:
    """Nobody waits once there is nobody to wait for."""

    async def run() -> None:
        gathering = Gathering(FOR_GOOD)
        for _ in range(2):  # and so do the next ones
            tasks = await waiting(gathering, 3)
            assert not any(task.done() for task in tasks)
            await gathering.wait(more_come=False)
            await asyncio.wait_for(asyncio.gather(*tasks), 5)

    asyncio.run(run())


def test_nobody_waits_longer_than_a_part_of_the_deadline() -> None:
    """Also where those that were to come do not come."""

    async def run() -> None:
        gathering = Gathering(0.01 / SHARE)
        for _ in range(2):
            await asyncio.wait_for(asyncio.gather(*await waiting(gathering, 2)), 5)

    asyncio.run(run())


def test_one_that_is_given_up_takes_nobody_with_it() -> None:
    """A request that ends leaves the others waiting."""

    async def run() -> None:
        gathering = Gathering(FOR_GOOD)
        given_up, other = await waiting(gathering, 2)
        given_up.cancel()
        await asyncio.wait((given_up,))
        assert not other.done()
        await gathering.wait(more_come=False)
        await asyncio.wait_for(other, 5)

    asyncio.run(run())
