"""The faults. Each is brought about, ended where it does not end by itself, and measured.

A fault makes its choices by the randomness that it is given, which the seed determines. Times are
milliseconds since 1970.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from tests.chaos.database import Owner, lives
from tests.chaos.load import Load
from tests.chaos.world import HOSTS, PARTITIONS, World

ALL = range(PARTITIONS)
PATIENCE_SECONDS = 40.0
CATCH_UP_SECONDS = 120.0  # a broker starts, reads its logs, and then what it has missed
LOOK_SECONDS = 0.01  # between two looks


@dataclass
class Outcome:
    """The outcome of a fault."""

    kind: str
    started_ms: float
    answered_ms: float | None
    """When every partition that it concerned answered again; None if that was never."""
    returned_ms: float | None = None
    """When what had been away was there again."""
    trouble: str | None = None
    """The expectation that was not met."""


class Faults:
    """Brings faults into a world under load."""

    def __init__(self, world: World, load: Load) -> None:
        self._world = world
        self._load = load

    async def worker_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of a partition's owner, at any moment."""
        owner = luck.choice(await self._owners())
        return await self._killed("worker killed", [owner.pid], [owner.partition])

    async def worker_killed_in_commit(self, luck: random.Random) -> Outcome:
        """`kill -9` of an owner whose batch is committed and not published."""
        owner = await asyncio.to_thread(self._world.database.kill_in_commit, PATIENCE_SECONDS)
        started = now()
        answered = await self._load.probe([owner.partition] if owner else [], started)
        return Outcome(
            "worker killed between commit and publish",
            started,
            answered,
            trouble=None if owner else f"no worker committed anything in {PATIENCE_SECONDS:g} s",
        )

    async def workers_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of all owners at once."""
        owners = await self._owners()
        return await self._killed("all workers killed", [o.pid for o in owners], ALL)

    async def worker_frozen(self, luck: random.Random) -> Outcome:
        """An owner stands still, and goes on before anybody has replaced it."""
        owner = luck.choice(await self._owners())
        return await self._frozen(
            "worker frozen for a moment", [owner.pid], [owner.partition], luck.uniform(0.3, 4.0)
        )

    async def worker_replaced(self, luck: random.Random) -> Outcome:
        """An owner stands still until its supervisor replaces it."""
        owner = luck.choice(await self._owners())
        send(signal.SIGSTOP, [owner.pid])
        started = now()
        return Outcome(
            "worker frozen for good", started, await self._load.probe([owner.partition], started)
        )

    async def gateway_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of a process that answers logins."""
        pid = luck.choice(await asyncio.to_thread(self._world.login_processes))
        return await self._killed("gateway process killed", [pid], [luck.choice(ALL)])

    async def gateway_frozen(self, luck: random.Random) -> Outcome:
        """A process that answers logins stands still, for less or more than it is waited for."""
        pid = luck.choice(await asyncio.to_thread(self._world.login_processes))
        return await self._frozen(
            "gateway process frozen", [pid], [luck.choice(ALL)], luck.uniform(0.5, 8.0)
        )

    async def hash_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of a process that checks passwords."""
        pid = luck.choice(await asyncio.to_thread(self._world.hash_processes))
        return await self._killed("hash process killed", [pid], [luck.choice(ALL)])

    async def hash_frozen(self, luck: random.Random) -> Outcome:
        """A process that checks passwords stands still, for less or more than it is waited for."""
        pid = luck.choice(await asyncio.to_thread(self._world.hash_processes))
        return await self._frozen(
            "hash process frozen", [pid], [luck.choice(ALL)], luck.uniform(0.5, 8.0)
        )

    async def supervisor_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of a host's supervisor, which is started again at once."""
        host = luck.choice(HOSTS)
        (supervisor, *workers), partitions = (
            await self._family(host),
            await self._partitions(host),
        )
        send(signal.SIGKILL, [supervisor])
        started = now()
        await self._release(host, supervisor)
        # They finish by themselves, and decide until then.
        ended = await asyncio.to_thread(until, lambda: not any(map(lives, workers)))
        outcome = Outcome("supervisor killed", started, await self._load.probe(partitions, started))
        if not ended:
            outcome.trouble = "its workers go on without it"
        await self._all_ready()
        return outcome

    async def host_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of all processes of a host, which comes back after the other took over."""
        host = luck.choice(HOSTS)
        family, partitions = await self._family(host), await self._partitions(host)
        outcome = await self._killed("host killed", family, partitions)
        await self._release(host, family[0])
        await self._all_ready()
        return outcome

    async def host_frozen(self, luck: random.Random) -> Outcome:
        """All of a host stands still until others own its partitions; then its zombies wake."""
        host = luck.choice(HOSTS)
        family, partitions = await self._family(host), await self._partitions(host)
        with frozen(family):
            started = now()
            probing = asyncio.ensure_future(self._load.probe(partitions, started))
            taken_over = await asyncio.to_thread(
                until, lambda: not any(o.pid in family for o in self._world.database.owners())
            )
            await asyncio.sleep(luck.uniform(0.0, 1.0))
            luck.shuffle(family)  # they wake in any order
        returned = now()
        outcome = Outcome("host frozen, zombies woken", started, await probing, returned)
        if not taken_over:
            outcome.trouble = f"nobody took over all of {partitions}"
        await self._all_ready()
        return outcome

    async def host_stopped(self, luck: random.Random) -> Outcome:
        """A planned restart of a host: it drains, leaves, and comes back. No login fails."""
        host = luck.choice(HOSTS)
        pid = self._world.pid(host)
        started = now()
        self._world.restart(host)
        ended = await asyncio.to_thread(until, lambda: self._world.pid(host) != pid)
        await self._all_ready()
        slowest = self._load.slowest_since(started)
        outcome = Outcome("host restarted in order (slowest login)", started, started + slowest)
        if not ended:
            outcome.trouble = "it did not end"
        elif failed := self._load.failed_since(started):
            outcome.trouble = f"{failed} logins failed"
        return outcome

    async def broker_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of the only broker, which is started again at once."""
        pid = await asyncio.to_thread(self._world.server_process, "kafka")
        return await self._server_killed("broker killed", [pid], self._world.kafka_answers)

    async def broker_frozen(self, luck: random.Random) -> Outcome:
        """The only broker stands still."""
        pid = await asyncio.to_thread(self._world.server_process, "kafka")
        outcome = await self._frozen("broker frozen", [pid], ALL, luck.uniform(0.5, 5.0))
        await self._all_ready()
        return outcome

    async def database_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of the server's first process, or of all; it is started again at once."""
        processes = await asyncio.to_thread(self._world.database.processes)
        victims = luck.choice([processes[:1], processes])
        return await self._server_killed("database killed", victims, self._world.database.answers)

    async def database_frozen(self, luck: random.Random) -> Outcome:
        """All processes of the server stand still."""
        processes = await asyncio.to_thread(self._world.database.processes)
        outcome = await self._frozen("database frozen", processes, ALL, luck.uniform(0.5, 5.0))
        await self._all_ready()
        return outcome

    async def one_broker_killed(self, luck: random.Random) -> Outcome:
        """`kill -9` of one broker of three, which comes back when the others have taken over."""
        broker = luck.choice(self._world.servers.brokers)
        holder = self._world.servers.pids[broker]
        pid = await asyncio.to_thread(self._world.server_process, broker)
        with frozen([holder]):  # else it would start it again at once
            outcome = await self._killed("one broker of three killed", [pid], ALL)
        await self._all_in_sync(outcome)
        return outcome

    async def one_broker_frozen(self, luck: random.Random) -> Outcome:
        """One broker of three stands still, for less or more than the others wait for it."""
        broker = luck.choice(self._world.servers.brokers)
        pid = await asyncio.to_thread(self._world.server_process, broker)
        seconds = luck.uniform(0.5, 20.0)
        outcome = await self._frozen("one broker of three frozen", [pid], ALL, seconds)
        await self._all_in_sync(outcome)
        return outcome

    async def _killed(self, kind: str, pids: list[int], partitions: Iterable[int]) -> Outcome:
        send(signal.SIGKILL, pids)
        started = now()
        return Outcome(kind, started, await self._load.probe(list(partitions), started))

    async def _frozen(
        self, kind: str, pids: list[int], partitions: Iterable[int], seconds: float
    ) -> Outcome:
        with frozen(pids):
            started = now()
            probing = asyncio.ensure_future(self._load.probe(list(partitions), started))
            await asyncio.sleep(seconds)
        returned = now()
        return Outcome(kind, started, await probing, returned)

    async def _server_killed(
        self, kind: str, pids: list[int], answers: Callable[[], bool]
    ) -> Outcome:
        send(signal.SIGKILL, pids)
        started = now()
        probing = asyncio.ensure_future(self._load.probe(ALL, started))
        await asyncio.to_thread(until, answers)
        returned = now()
        outcome = Outcome(kind, started, await probing, returned)
        await self._all_ready()
        return outcome

    async def _owners(self) -> list[Owner]:
        return await asyncio.to_thread(self._world.database.owners)

    async def _family(self, host: str) -> list[int]:
        return await asyncio.to_thread(self._world.family, host)

    async def _partitions(self, host: str) -> list[int]:
        return await asyncio.to_thread(self._world.partitions_of, host)

    async def _release(self, host: str, former: int) -> None:
        """Start a killed host again, as soon as its death has been noticed."""
        await asyncio.to_thread(until, lambda: self._world.pid(host) != former)
        self._world.release(host)

    async def _all_in_sync(self, outcome: Outcome) -> None:
        """All brokers have all that was acknowledged, so that the next one may die."""
        if not await asyncio.to_thread(until, self._world.in_sync, CATCH_UP_SECONDS):
            outcome.trouble = "the broker did not get in sync again"
        await self._all_ready()

    async def _all_ready(self) -> None:
        await asyncio.to_thread(self._world.wait_until_ready, *self._world.parts)


def now() -> float:
    """The time that clients, the broker and the database share."""
    return time.time() * 1000


def until(so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait, in a thread, until something is so; False if it is not so in time."""
    due = time.monotonic() + seconds
    while not so():
        if time.monotonic() > due:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those of these processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Let these processes stand still, and go on afterwards, also where the run is ended."""
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)


Fault = Callable[[Faults, random.Random], Awaitable[Outcome]]


class Kind(NamedTuple):
    """A fault, its share of a full run, and how many brokers it needs."""

    bring: Fault
    share: int
    brokers: int = 1


KINDS: dict[str, Kind] = {
    "worker": Kind(Faults.worker_killed, 80),
    "worker-in-commit": Kind(Faults.worker_killed_in_commit, 30),
    "workers": Kind(Faults.workers_killed, 4),
    "worker-frozen": Kind(Faults.worker_frozen, 8),
    "worker-replaced": Kind(Faults.worker_replaced, 4),
    "gateway": Kind(Faults.gateway_killed, 20),
    "gateway-frozen": Kind(Faults.gateway_frozen, 8),
    "hash": Kind(Faults.hash_killed, 10),
    "hash-frozen": Kind(Faults.hash_frozen, 4),
    "supervisor": Kind(Faults.supervisor_killed, 6),
    "host": Kind(Faults.host_killed, 6),
    "host-frozen": Kind(Faults.host_frozen, 6),
    "host-restarted": Kind(Faults.host_stopped, 6),
    "broker": Kind(Faults.broker_killed, 8),
    "broker-frozen": Kind(Faults.broker_frozen, 6),
    "database": Kind(Faults.database_killed, 8),
    "database-frozen": Kind(Faults.database_frozen, 6),
    "one-broker": Kind(Faults.one_broker_killed, 8, brokers=3),
    "one-broker-frozen": Kind(Faults.one_broker_frozen, 4, brokers=3),
}
"""Every fault by its short name."""
