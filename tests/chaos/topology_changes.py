"""Changes under load: hosts come and leave, partitions and the policy change."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from math import inf

import psycopg
from confluent_kafka.admin import NewPartitions

from events.topics import ATTEMPTS
from loadtest.histories import Era
from tests.chaos.database import Owner
from tests.chaos.faults import now
from tests.chaos.load import Load
from tests.chaos.world import HOSTS, PARTITIONS, RULES, World

GUEST = "host C"
ENOUGH = 20
"""Answers without which nothing was shown."""
TRIES = 3
"""A change that refuses logins does so each time; a machine that is too busy does not."""
PATIENCE_SECONDS = 60.0


class Changes:
    """Brings them about, one after the other. Each docstring's statement is asserted."""

    def __init__(self, world: World, load: Load) -> None:
        self.world = world
        self.load = load
        self.used = self.present = PARTITIONS
        """How many partitions should be used, and how many the topic should have."""

    async def a_host_comes_and_leaves(self) -> None:
        """A third one is given a share of the partitions, and others take over."""

        async def come_and_leave() -> None:
            await asyncio.to_thread(self.world.join, GUEST)
            await self.answers()
            family = self.world.family(GUEST)
            await asyncio.to_thread(self.world.leave, GUEST)
            await self._until(lambda: not any(o.pid in family for o in self._owners()))

        await self._refuses_nobody(come_and_leave)

    async def partitions_are_added_by_hand(self) -> None:
        """They are reported and left alone."""

        async def add() -> None:
            self.present += 1
            admin = self.world.admin()
            admin.create_partitions([NewPartitions(ATTEMPTS, self.present)])[ATTEMPTS].result()
            await self._until(lambda: self._unused() == self.present - self.used)

        await self._refuses_nobody(add)
        assert self._topology()[0] == self.used
        pages = [self.world.read(host, "readyz") for host in HOSTS]
        assert any("of the topic are not used" in page for page in pages), pages

    async def the_partitions_become_more(self) -> None:
        """By the command, which uses those that are there first."""

        async def resize() -> None:
            self.used += 1
            self.present = max(self.used, self.present)
            await self._say(f'"used":{self.used},', *self._resize())

        await self._refuses_nobody(resize)

    async def the_partitions_become_more_although_processes_die(self) -> None:
        """The command as soon as it has begun, and two owners; saying it again finishes it."""
        self.used = self.present = self.present + 1
        command = self.world.cerrojo(*self._resize())
        await self._until(lambda: self._topology()[1] == self.used)
        command.kill()
        await asyncio.to_thread(command.communicate)
        for owner in self._owners()[:2]:
            os.kill(owner.pid, signal.SIGKILL)
        await self._say(f'"used":{self.used},', *self._resize())

    async def the_policy_changes(self) -> None:
        """By the command; then all owners die, and their successors read the log across it."""
        eras = self.world.eras
        eras.append(Era(now(), inf, RULES._replace(threshold=3)))
        await self._say('"threshold":3,', "policy", "--threshold", "3")
        eras[-2] = eras[-2]._replace(end=now())
        owners = self._owners()
        for owner in owners:
            os.kill(owner.pid, signal.SIGKILL)
        dead = {owner.epoch for owner in owners}
        await self._until(lambda: dead.isdisjoint(owner.epoch for owner in self._owners()))
        await self.answers()

    async def answers(self) -> None:
        """Some logins more are decided."""
        before = self._decided()
        await self._until(lambda: self._decided() >= before + ENOUGH)

    async def have_come_everywhere(self) -> None:
        """Every partition has decided attempts, and nothing but those that should; some block."""
        await self._until(lambda: self._busy() == list(range(self.used)))
        await self._until(lambda: any(answer.status == 429 for answer in self.load.answers))

    async def _refuses_nobody(self, change: Callable[[], Awaitable[None]]) -> None:
        refused = []
        for _ in range(TRIES):
            before = len(self.load.answers)
            await change()
            await self.answers()
            refused.append(sum(a.status in (0, 503) for a in self.load.answers[before:]))
            if refused[-1] == 0:
                return
        raise AssertionError(f"so many logins were refused each time: {refused}")

    def _owners(self) -> list[Owner]:
        return self.world.database.owners()

    def _decided(self) -> int:
        return sum(answer.status in (200, 401) for answer in self.load.answers)

    def _resize(self) -> tuple[str, str]:
        return "resize", str(self.used)

    async def _say(self, answer: str, *words: str) -> None:
        command = self.world.cerrojo(*words)
        said, _ = await asyncio.to_thread(command.communicate)
        assert answer in said, said

    def _unused(self) -> float:
        pages = "\n".join(self.world.read(host, "metrics") for host in HOSTS)
        return sum(
            float(line.split()[1])
            for line in pages.splitlines()
            if line.startswith("cerrojo_partitions_unused ")
        )

    def _busy(self) -> list[int]:
        with psycopg.connect(self.world.database.url) as connection:
            rows = connection.execute(
                "SELECT DISTINCT partition FROM audit WHERE kind = 'attempt' ORDER BY 1"
            ).fetchall()
        return [partition for (partition,) in rows]

    def _topology(self) -> tuple[int, int]:
        with psycopg.connect(self.world.database.url) as connection:
            row = connection.execute("SELECT partitions, wanted FROM topology").fetchone()
        assert row is not None
        return row

    async def _until(self, so: Callable[[], bool]) -> None:
        due = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(so):
            assert time.monotonic() < due, f"it is not so in time. Logs: {self.world.folder}"
            await asyncio.sleep(0.05)
