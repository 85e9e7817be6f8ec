"""Clients that log in all the time, and probes of partitions; every answer is noted."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from math import inf
from typing import Any

import aiohttp

from events.partitioner import partition_of
from loadtest.histories import Call
from tests.chaos.world import MOST_PARTITIONS, PARTITIONS, Door
from tests.harness.evidence import Answered
from tests.harness.operators import OPERATOR

RIGHT, WRONG = "the right password", "a wrong password"
ACCOUNTS, GUESSED, STRANGERS = 96, 12, 32  # of the accounts so many are guessed at
PROBES = 8  # accounts of each partition
CLIENTS = 6
PAUSE = 0.1  # seconds, on average
TIMEOUT = 12.0  # seconds
CONNECT_TIMEOUT = 2.0  # seconds
REGISTER_PAUSE = 1.0  # seconds
PROBE_PAUSE, PROBE_LATER = 0.02, 0.1  # seconds; haste does not help a longer request
HASTE = 2.0  # seconds
PROBES_AT_ONCE = 8
GIVE_UP = 60.0  # seconds
LIST_PAUSE = 1.0  # seconds
LARGEST_LIST = 100_000

DEADLINE = 5.0
"""Seconds in which a gateway answers, unless the world's settings say another time."""

CLOCKS_MS = 500.0
"""By so much may a last moment be wrong: it is the brokers' time, as gateways know it."""

UNREAD_MS = 45_000.0
"""So long a request whose client has left may wait until its gateway reads it.

A frozen or cut off gateway has it in its socket, and TCP repeats it some time after a cut.
"""


class Load:
    """Everything that clients do, inside the event loop."""

    def __init__(
        self,
        doors: Sequence[Door],
        seed: int,
        registers: bool = False,
        deadline: float = DEADLINE,
    ) -> None:
        """Everybody asks any of the gateways. With `registers` new accounts come all the time."""
        self.answers: list[Answered] = []
        self.calls: defaultdict[str, list[Call]] = defaultdict(list)
        """Everything that clients and operators asked about an account, and what they got."""
        self.registering = asyncio.Lock()
        """Held while a registration is not answered for good."""
        self.doors = doors
        self.partitions = PARTITIONS
        """How many partitions are used, for probes; a resize makes them more."""
        self._registers = registers
        self._deadline_ms = deadline * 1000
        self._luck = random.Random(seed)
        self._accounts = [f"account{n}" for n in range(ACCOUNTS)]
        self._strangers = [f"stranger{n}" for n in range(STRANGERS)]
        self._probes = {
            (partition, used): _names_in(partition, used)
            for used in range(PARTITIONS, MOST_PARTITIONS + 1)
            for partition in range(used)
        }
        self._blocked: set[str] = set()
        self._enough = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._died: BaseException | None = None
        """Of the first client that ended by an error."""

    async def start(self) -> None:
        """Make the accounts and begin."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._fresh = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(force_close=True, limit=0)
        )
        for user in (*self._accounts, *sorted(set().union(*self._probes.values()))):
            while (status := await self._register(user)) in (0, 503):
                pass  # a machine on which all starts at once stands still at times
            assert status in (201, 409), f"{user} could not be made: {status}"
        for _ in range(CLIENTS):
            self._spawn(self._client())
        self._spawn(self._operator())
        self._spawn(self._onlooker())
        self._spawn(self._reader())
        if self._registers:
            self._spawn(self._registrar())

    async def stop(self) -> None:
        """Wait for the last answers. Raises what the first client that died has died of."""
        self._enough.set()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._session.close()
        await self._fresh.close()
        if self._died is not None:
            raise self._died

    async def probe(
        self, partitions: Sequence[int], since_ms: float, door: Door | None = None
    ) -> float | None:
        """When the last of these partitions answered again, in ms; None if one did not.

        Through this gateway, or the first one.
        """
        door = door or self.doors[0]
        found = await asyncio.gather(*(self._probe(p, door) for p in partitions))
        times = [at for at in found if at is not None]
        return max([since_ms, *times]) if len(times) == len(found) else None

    def probe_names(self, partition: int) -> Sequence[str]:
        """The accounts that probe a partition, as long as no more partitions are used."""
        return self._probes[partition, self.partitions]

    def slowest_since(self, ms: float) -> float:
        """The longest that a login since then has taken, in ms."""
        return max((a.ended_ms - a.started_ms for a in self.answers if a.ended_ms > ms), default=0)

    def failed_since(self, ms: float) -> int:
        """How many logins that began since then have got no verdict."""
        return sum(a.started_ms > ms and a.status in (0, 503) for a in self.answers)

    async def _probe(self, partition: int, door: Door) -> float | None:
        """Log in again and again, on a connection of its own each time, until one is answered."""
        began = time.monotonic()
        until = began + GIVE_UP
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        flying: set[asyncio.Task[None]] = set()

        async def login(user: str) -> None:
            answer = await self._login(self._fresh, user, RIGHT, door)
            if answer.status == 200 and not answered.done():
                answered.set_result(answer.ended_ms)

        names, number = self.probe_names(partition), 0
        while not answered.done() and time.monotonic() < until:
            if len(flying) < PROBES_AT_ONCE:
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
            if await self._ask_operator("unblock", "DELETE", user) == 0:
                self._blocked.add(user)

    async def _onlooker(self) -> None:
        """Look whether accounts that are guessed at are listed as blocked."""
        while not self._enough.is_set():
            await self._pause(0.1)
            await self._ask_operator("look", "GET", self._luck.choice(self._accounts[:GUESSED]))

    async def _reader(self) -> None:
        """Look who is on the list of the blocked accounts, and who is not."""
        while not self._enough.is_set():
            await self._pause(LIST_PAUSE)
            url = f"{self._luck.choice(self.doors).operator_url}/blocked?limit={LARGEST_LIST}"
            watched = (*self._accounts[:GUESSED], *self._strangers)
            begin = time.time() * 1000
            try:
                async with self._session.get(url, headers=OPERATOR) as response:
                    body, status = await response.read(), response.status
            except (aiohttp.ClientError, TimeoutError):
                continue
            end = time.time() * 1000
            if status != 200:
                if status != 503:  # a kind that no judge allows: a 404 as a "list" is one
                    self.calls[watched[0]].append(Call("GET /blocked", status, begin, end))
                continue
            listed = set(json.loads(body)["users-blocked"])
            for user in watched:
                found = 200 if user in listed else 404
                self.calls[user].append(Call("list", found, begin, end))

    async def _registrar(self) -> None:
        """Make accounts, each as often as it takes, at names that may be guessed at already."""
        for number in count():
            await self._pause(REGISTER_PAUSE)
            user = f"late{number}"
            async with self.registering:
                if self._enough.is_set():
                    return
                self._strangers.append(user)
                await self._pause(REGISTER_PAUSE)
                while await self._register(user) not in (201, 409):
                    await self._pause(0.2)
            self._strangers.remove(user)
            self._accounts.append(user)

    async def _register(self, user: str) -> int:
        url, body = f"{self._luck.choice(self.doors).login_url}/register", credentials(user, RIGHT)
        return await self._call("register", user, self._session.post(url, json=body))

    async def _ask_operator(self, kind: str, method: str, user: str) -> int:
        url = f"{self._luck.choice(self.doors).operator_url}/blocked/{user}"
        return await self._call(kind, user, self._session.request(method, url, headers=OPERATOR))

    async def _login(
        self, session: aiohttp.ClientSession, user: str, password: str, door: Door | None = None
    ) -> Answered:
        url = f"{(door or self._luck.choice(self.doors)).login_url}/login"
        started, right = time.time() * 1000, password == RIGHT
        asked = session.post(url, json=credentials(user, password))
        status = await self._call("right" if right else "wrong", user, asked)
        answer = Answered(user, right, status, started, time.time() * 1000)
        self.answers.append(answer)
        return answer

    async def _call(
        self, kind: str, user: str, asked: AbstractAsyncContextManager[aiohttp.ClientResponse]
    ) -> int:
        """The status of the answer, which is noted; 0 where there was none."""
        started = time.time() * 1000
        try:
            async with asked as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return 0  # nobody was asked
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        ended = time.time() * 1000
        self.calls[user].append(
            Call(kind, status, started, ended, self._last(kind, status, started, ended))
        )
        return status

    def _last(self, kind: str, status: int, started: float, ended: float) -> float:
        """The last moment at which a call may come into the log; only wrong guesses have none.

        A call that clears an account gets 503 no sooner than that; a right password may.
        """
        if kind == "wrong":
            return inf
        if status == 0:
            return ended + UNREAD_MS + self._deadline_ms + CLOCKS_MS
        if kind == "right":
            return ended + self._deadline_ms + CLOCKS_MS
        return max(ended, started + self._deadline_ms) + CLOCKS_MS

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            pass

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._died = self._died or task.exception()


def credentials(user: str, password: str) -> dict[str, str]:
    """The body that a client sends."""
    return {"user": user, "pass": password}


def _names_in(partition: int, partitions: int) -> list[str]:
    names: list[str] = []
    number = 0
    while len(names) < PROBES:
        name = f"probe{number}"
        if partition_of(name, partitions) == partition:
            names.append(name)
        number += 1
    return names
