"""What changes under load: hosts come and leave, partitions and the policy change."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
from confluent_kafka.admin import NewPartitions

from events.topics import ATTEMPTS
from tests.chaos.load import Load
from tests.chaos.world import HOSTS, PARTITIONS, World

GUEST = "host C"
BY_HAND = 2
"""Partitions that somebody adds to the topic."""
ENOUGH = 20
"""Answers without which nothing was shown."""
PATIENCE = 60.0  # seconds


class Changes:
    """Brings them about, one after the other."""

    def __init__(self, world: World, load: Load) -> None:
        self.world = world
        self.load = load
        self.refused: dict[str, int] = {}
        """How many logins were not decided, by what happened meanwhile."""

    async def a_host_comes(self) -> None:
        """A third one, which is given a share of the partitions."""
        async with self._nobody_is_refused("a host comes"):
            await asyncio.to_thread(self.world.join, GUEST)

    async def a_host_leaves(self) -> None:
        """It is stopped in order, and others take over."""
        async with self._nobody_is_refused("a host leaves"):
            await asyncio.to_thread(self.world.leave, GUEST)

    async def partitions_are_added_by_hand(self) -> None:
        """They are reported and left alone."""
        async with self._nobody_is_refused("partitions are added by hand"):
            admin = self.world.admin()
            admin.create_partitions([NewPartitions(ATTEMPTS, PARTITIONS + BY_HAND)])
            await self._until(lambda: self._unused() == BY_HAND)
        assert self._used() == PARTITIONS
        pages = [self.world.read(host, "readyz") for host in (*HOSTS, GUEST)]
        assert any("of the topic are not used" in page for page in pages), pages

    async def the_partitions_become(self, count: int) -> None:
        """By the command, and nothing else happens."""
        async with self._nobody_is_refused(f"the partitions become {count}"):
            await self._say(f"{count} partitions of attempts are used.", "resize", str(count))

    async def the_partitions_become_although_processes_die(self, count: int) -> None:
        """The command at once when it has begun, and two owners; saying it again finishes it."""
        command = self.world.workers("resize", str(count))
        await self._until(lambda: self._wanted() == count)
        command.kill()
        await asyncio.to_thread(command.communicate)
        for owner in self.world.database.owners()[:2]:
            os.kill(owner.pid, signal.SIGKILL)
        await self._say(f"{count} partitions of attempts are used.", "resize", str(count))

    async def the_policy_changes(self) -> None:
        """By the command; then all owners die, and their successors read the log across it."""
        await self._say(": 3 wrong passwords", "policy", "--threshold", "3")
        before = {owner.epoch for owner in self.world.database.owners()}
        for owner in self.world.database.owners():
            os.kill(owner.pid, signal.SIGKILL)
        await self._until(lambda: before.isdisjoint(o.epoch for o in self.world.database.owners()))
        await self.answers()

    async def answers(self) -> None:
        """Wait until some logins more have been decided."""
        before = self._decided()
        await self._until(lambda: self._decided() >= before + ENOUGH)

    def _decided(self) -> int:
        return sum(answer.status in (200, 401) for answer in self.load.answers)

    @asynccontextmanager
    async def _nobody_is_refused(self, what: str) -> AsyncIterator[None]:
        before = len(self.load.answers)
        yield
        await self.answers()
        self.refused[what] = sum(a.status in (0, 503) for a in self.load.answers[before:])

    async def _say(self, answer: str, *words: str) -> None:
        command = self.world.workers(*words)
        said, _ = await asyncio.to_thread(command.communicate)
        assert answer in said, said

    def _unused(self) -> float:
        lines = [
            line
            for host in (*HOSTS, GUEST)
            for line in self.world.read(host, "metrics").splitlines()
        ]
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("cerrojo_partitions_unused ")
        )

    def _used(self) -> int:
        return self._topology()[0]

    def _wanted(self) -> int:
        return self._topology()[1]

    def _topology(self) -> tuple[int, int]:
        with psycopg.connect(self.world.database.url) as connection:
            row = connection.execute("SELECT partitions, wanted FROM topology").fetchone()
        assert row is not None
        return row

    async def _until(self, so: Callable[[], bool]) -> None:
        due = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(so):
            assert time.monotonic() < due, f"it is not so in time. Logs: {self.world.folder}"
            await asyncio.sleep(0.05)
