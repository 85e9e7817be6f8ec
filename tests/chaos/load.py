"""Clients that log in all the time, and probes of partitions; every answer is noted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp

from events.topics import partition_of
from tests.acceptance.evidence import Answered
from tests.chaos.world import PARTITIONS

RIGHT, WRONG = "the right password", "a wrong password"
ACCOUNTS, GUESSED, STRANGERS = 96, 12, 32  # of the accounts so many are guessed at
PROBES = 8  # accounts of each partition
CLIENTS = 6
PAUSE = 0.1  # seconds, on average
TIMEOUT = 12.0  # seconds
PROBE_PAUSE, PROBE_LATER = 0.02, 0.1  # seconds; what takes longer is not helped by haste
HASTE = 2.0  # seconds
PROBES_AT_ONCE = 8
GIVE_UP = 60.0  # seconds


class Load:
    """Everything that clients do, inside the event loop."""

    def __init__(self, login_url: str, operator_url: str, seed: int) -> None:
        self.answers: list[Answered] = []
        self._login_url = f"{login_url}/login"
        self._register_url = f"{login_url}/register"
        self._operator_url = operator_url
        self._luck = random.Random(seed)
        self._accounts = [f"account{n}" for n in range(ACCOUNTS)]
        self._strangers = [f"stranger{n}" for n in range(STRANGERS)]
        self._probes = [_names_in(partition) for partition in range(PARTITIONS)]
        self._blocked: set[str] = set()
        self._enough = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Make the accounts and begin."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._fresh = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(force_close=True, limit=0)
        )
        for user in (*self._accounts, *(name for names in self._probes for name in names)):
            body = {"user": user, "pass": RIGHT}
            async with self._session.post(self._register_url, json=body) as response:
                assert response.status == 201, f"{user} could not be made: {response.status}"
        for _ in range(CLIENTS):
            self._spawn(self._client())
        self._spawn(self._operator())

    async def stop(self) -> None:
        """Wait for the last answers."""
        self._enough.set()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        await self._session.close()
        await self._fresh.close()

    async def probe(self, partitions: Sequence[int], since_ms: float) -> float | None:
        """When the last of these partitions answered again, in ms; None if one did not."""
        found = await asyncio.gather(*(self._probe(p) for p in partitions))
        times = [at for at in found if at is not None]
        return max([since_ms, *times]) if len(times) == len(found) else None

    def slowest_since(self, ms: float) -> float:
        """The longest that a login since then has taken, in ms."""
        return max((a.ended_ms - a.started_ms for a in self.answers if a.ended_ms > ms), default=0)

    async def _probe(self, partition: int) -> float | None:
        """Log in again and again, on a connection of its own each time, until one is answered."""
        began = time.monotonic()
        until = began + GIVE_UP
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        flying: set[asyncio.Task[None]] = set()

        async def login(user: str) -> None:
            answer = await self._login(self._fresh, user, RIGHT)
            if answer.status == 200 and not answered.done():
                answered.set_result(answer.ended_ms)

        number = 0
        while not answered.done() and time.monotonic() < until:
            if len(flying) < PROBES_AT_ONCE:
                names = self._probes[partition]
                task = self._spawn(login(names[number % len(names)]))
                number += 1
                flying.add(task)
                task.add_done_callback(flying.discard)
            hasty = time.monotonic() < began + HASTE
            await asyncio.wait((answered,), timeout=PROBE_PAUSE if hasty else PROBE_LATER)
        return answered.result() if answered.done() else None

    async def _client(self) -> None:
        while not self._enough.is_set():
            user, right = self._somebody()
            answer = await self._login(self._session, user, RIGHT if right else WRONG)
            if answer.status in (403, 429):
                self._blocked.add(user)
            await self._pause(self._luck.expovariate(1 / PAUSE))

    def _somebody(self) -> tuple[str, bool]:
        """An account, and whether the password will be right: some are guessed at all the time."""
        kind = self._luck.random()
        if kind < 0.4:
            return self._luck.choice(self._accounts[:GUESSED]), self._luck.random() < 0.1
        if kind < 0.5:
            return self._luck.choice(self._strangers), False
        return self._luck.choice(self._accounts[GUESSED:]), self._luck.random() < 0.6

    async def _operator(self) -> None:
        while not self._enough.is_set():
            await self._pause(0.5)
            if not self._blocked:
                continue
            user = self._luck.choice(sorted(self._blocked))
            self._blocked.discard(user)
            try:
                async with self._session.delete(f"{self._operator_url}/blocked/{user}"):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                self._blocked.add(user)

    async def _login(self, session: aiohttp.ClientSession, user: str, password: str) -> Answered:
        started = time.time() * 1000
        try:
            body = {"user": user, "pass": password}
            async with session.post(self._login_url, json=body) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        answer = Answered(user, password == RIGHT, status, started, time.time() * 1000)
        self.answers.append(answer)
        return answer

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            pass

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _names_in(partition: int) -> list[str]:
    names: list[str] = []
    number = 0
    while len(names) < PROBES:
        name = f"probe{number}"
        if partition_of(name, PARTITIONS) == partition:
            names.append(name)
        number += 1
    return names
