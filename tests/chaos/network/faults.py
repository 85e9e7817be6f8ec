"""Faults of a network, of clocks, and changes that operators make meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Sequence
from typing import cast

from loadtest.histories import ClockApart, Era, Span
from local.postgres import NAME as POSTGRES
from tests.chaos.faults import Fault, Faults, Kind, Outcome, now, send
from tests.chaos.load import Load
from tests.chaos.network.server_clocks import TAKES_SECONDS
from tests.chaos.network.servers import BROKERS
from tests.chaos.network.world import GATEWAYS, NetworkWorld
from tests.chaos.world import HOSTS, MOST_PARTITIONS, RULES, World
from tests.harness.evidence import Restored

LEAST, MORE, MOST = 2.0, 3.0, 15.0
"""Seconds of a cut: the least, how much more it is on average, and the most."""

RESTORED_MOST_SECONDS = 10.0
"""Seconds by which the database goes back, at most."""

COMMAND_TRIES = 6
DIFFERENCES = (-600.0, -30.0, -5.0, -1.5, 0.0, 1.5, 5.0, 30.0, 600.0)
"""Seconds by which a clock is ahead."""
SERVER_DIFFERENCES = (-300.0, -90.0, 90.0, 300.0)
"""... of a broker, or Postgres. They are far more than any deadline, window or block here."""

SURE_SECONDS = 30.0
"""By so much may a clock that is read seem wrong, where the machine is busy."""


class NetworkFaults(Faults):
    """Brings faults into a world whose parts are hosts of a network."""

    def __init__(self, world: World, load: Load) -> None:
        super().__init__(world, load)
        self._net = cast(NetworkWorld, world)
        self._network = self._net.network
        self._clocks = self._net.server_clocks

    async def cut(
        self, luck: random.Random, what: str, some: Sequence[str], others: Sequence[str]
    ) -> Outcome:
        """Two nodes do not reach each other; or both are told so at once."""
        one = luck.choice(some)
        other = luck.choice([name for name in others if name != one])
        if luck.random() < 0.25:
            self._network.refuse(one, other)
            return await self._lasting(luck, f"refused: {what}")
        self._network.cut([(one, other), (other, one)])
        return await self._lasting(luck, f"cut: {what}")

    async def cut_one_way(
        self, luck: random.Random, what: str, some: Sequence[str], others: Sequence[str]
    ) -> Outcome:
        """Cut one line in one direction: all that one node sends to another is lost."""
        one = luck.choice(some)
        other = luck.choice([name for name in others if name != one])
        line = luck.choice([(one, other), (other, one)])
        self._network.cut([line])
        return await self._lasting(luck, f"cut one way: {what}")

    async def alone(self, luck: random.Random, what: str, some: Sequence[str]) -> Outcome:
        """A node reaches nobody, and nobody reaches it."""
        self._network.cut(self._all_lines(luck.choice(some)))
        return await self._lasting(luck, f"alone: {what}")

    async def deaf(self, luck: random.Random, what: str, some: Sequence[str]) -> Outcome:
        """A node is heard and hears nothing, or the other way round."""
        lines = self._all_lines(luck.choice(some))
        self._network.cut(lines[::2] if luck.random() < 0.5 else lines[1::2])
        return await self._lasting(luck, f"deaf or dumb: {what}")

    async def slow(self, luck: random.Random, what: str, some: Sequence[str]) -> Outcome:
        """Slow one node down: all that it sends and gets is late, and some of it is lost."""
        await asyncio.to_thread(
            self._network.slow,
            luck.choice(some),
            delay=luck.choice([0.002, 0.02, 0.1, 0.4]),
            jitter=luck.choice([0.001, 0.02, 0.1]),
            loss=luck.choice([0.0, 0.0, 0.01, 0.05]),
            luck=luck.randrange(1000),
        )
        return await self._lasting(luck, f"slow: {what}")

    async def clock(self, luck: random.Random, what: str, some: Sequence[str]) -> Outcome:
        """A part's clock is wrong from now on."""
        part, seconds = luck.choice(some), luck.choice(DIFFERENCES)
        started = now()
        await asyncio.to_thread(self._net.set_clock, part, seconds)
        slowest = self._load.slowest_since(started)
        await self._all_ready()
        return Outcome(f"clock: {what} (slowest login)", started, started + slowest)

    async def broker_clock(self, luck: random.Random) -> Outcome:
        """A broker's clock is minutes wrong for a while.

        It is set right while the broker is there, or while it dies: then others lead, whose clocks
        are right. In both cases append times go back, or leap.
        """
        broker, dies = luck.choice(BROKERS), luck.random() < 0.5
        seconds = luck.choice(SERVER_DIFFERENCES)
        started = now()
        self._clocks.set(broker, seconds)
        await asyncio.sleep(TAKES_SECONDS + min(MOST, LEAST + luck.expovariate(1 / MORE)))
        trouble = await _not_set(seconds, lambda: self._net.append_ms(broker))
        if dies:
            send(signal.SIGKILL, [self._world.server_process(broker)])
        self._clocks.set(broker, 0)
        returned = now()
        answered = await self._answered(started)
        # Until then gateways may go on with a clock whose broker is away.
        await asyncio.sleep(TAKES_SECONDS)
        self._world.clocks.append(ClockApart(started, now(), seconds * 1000))
        outcome = Outcome("clock: broker", started, answered, returned, trouble)
        await self._all_in_sync(outcome)
        return outcome

    async def database_clock(self, luck: random.Random) -> Outcome:
        """Postgres' clock is minutes wrong for a while, which harms nobody."""
        seconds = luck.choice(SERVER_DIFFERENCES)
        started = now()
        self._clocks.set(POSTGRES, seconds)
        await asyncio.sleep(TAKES_SECONDS + min(MOST, LEAST + luck.expovariate(1 / MORE)))
        trouble = await _not_set(seconds, self._world.database.clock_ms)
        answered = await self._answered(now())
        self._clocks.set(POSTGRES, 0)
        await asyncio.sleep(TAKES_SECONDS)
        self._world.database_clocks.append(ClockApart(started, now(), seconds * 1000))
        slowest = self._load.slowest_since(started)
        await self._all_ready()
        outcome = Outcome(
            "clock: database (slowest login)", started, started + slowest, trouble=trouble
        )
        if answered is None:
            outcome.trouble = "logins were not answered while Postgres' clock was wrong"
        return outcome

    async def restored(self, luck: random.Random) -> Outcome:
        """The database is put back to what it was some seconds ago, under load.

        Accounts that came since would be gone, and no log has them; so none comes.
        """
        async with self._load.registering:
            saved = await asyncio.to_thread(self._world.database.save)
            await self._all_ready()
            await asyncio.sleep(luck.uniform(1.0, RESTORED_MOST_SECONDS))
            started = now()
            await asyncio.to_thread(self._world.database.restore, saved)
            returned = now()
            self._world.restored.append(Restored(saved.next_offsets, returned))
            answered = await self._answered(started)
            self._world.older.append(Span(started, now()))
        outcome = Outcome("database restored", started, answered, returned)
        await self._all_ready()
        return outcome

    async def resized(self, luck: random.Random) -> Outcome:
        """One partition more, while a line is cut."""
        more = min(MOST_PARTITIONS, self._load.partitions + 1)
        outcome, done = await self._command(luck, "resize", "resize", str(more))
        if done:
            self._load.partitions = more
        return outcome

    async def policy_changed(self, luck: random.Random) -> Outcome:
        """Another threshold and length of a block, while a line is cut."""
        rules = RULES._replace(
            threshold=luck.choice([3, 4, 5, 6]), block_ms=luck.choice([1000, 2000, 3000])
        )
        self._world.eras.append(Era(now(), float("inf"), rules))
        outcome, done = await self._command(
            luck,
            "policy",
            *("policy", "--threshold", str(rules.threshold)),
            *("--block", str(rules.block_ms / 1000)),
        )
        former = self._world.eras[-2]
        if done:
            self._world.eras[-2] = former._replace(end=now())
        return outcome

    async def _command(self, luck: random.Random, what: str, *words: str) -> tuple[Outcome, bool]:
        """A command of an operator, again and again until it is done; a line is cut meanwhile.

        Also whether it was done, as there may be other trouble.
        """
        name, (some, others) = luck.choice(list(LINES.items()))
        one = luck.choice(some)
        other = luck.choice([name for name in others if name != one])
        self._network.cut([(one, other), (other, one)][: luck.choice([1, 2])])
        command = asyncio.ensure_future(asyncio.to_thread(self._say, words))
        outcome = await self._lasting(luck, f"{what} while cut: {name}")
        outcome.kind = f"{what} while a line is cut"
        said = await command
        if said is not None:
            outcome.trouble = f"`{' '.join(words)}` was not done: {said}"
        await self._all_ready()
        return outcome, said is None

    def _say(self, words: Sequence[str]) -> str | None:
        """None once it is done, else what it said last."""
        said = ""
        for _ in range(COMMAND_TRIES):
            command = self._world.cerrojo(*words)
            said, _ = command.communicate()
            if command.returncode == 0:
                return None
        return said

    async def _lasting(self, luck: random.Random, kind: str) -> Outcome:
        """Let the fault last some seconds, then undo it: all are as before."""
        started = now()
        probing = asyncio.ensure_future(self._answered(started))
        await asyncio.sleep(min(MOST, LEAST + luck.expovariate(1 / MORE)))
        await asyncio.to_thread(self._network.heal)
        returned = now()
        outcome = Outcome(kind, started, await probing, returned)
        await self._all_in_sync(outcome)
        return outcome

    async def _answered(self, since: float) -> float | None:
        """When every partition has answered through every gateway."""
        times = await asyncio.gather(
            *(
                self._load.probe(range(self._load.partitions), since, door)
                for door in self._load.doors
            )
        )
        known = [at for at in times if at is not None]
        return max(known) if len(known) == len(times) else None

    def _all_lines(self, node: str) -> list[tuple[str, str]]:
        """Those from the node are the even ones, those to it the odd ones."""
        return [
            line for other in self._network.others(node) for line in ((node, other), (other, node))
        ]


async def _not_set(seconds: float, clock_ms: Callable[[], float]) -> str | None:
    """None if a clock is so much ahead; else a fault that none was."""
    ahead = (await asyncio.to_thread(clock_ms) - now()) / 1000
    if abs(ahead - seconds) < SURE_SECONDS:
        return None
    return f"the clock was {ahead:g} s ahead, and not {seconds:g} s"


LINES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "broker and broker": (BROKERS, BROKERS),
    "gateway and broker": (GATEWAYS, BROKERS),
    "workers and broker": (HOSTS, BROKERS),
    "gateway and database": (GATEWAYS, (POSTGRES,)),
    "workers and database": (HOSTS, (POSTGRES,)),
}
SORTS: dict[str, Sequence[str]] = {
    "broker": BROKERS,
    "gateway": GATEWAYS,
    "workers": HOSTS,
    "database": (POSTGRES,),
}


def _of_line(method: str, line: str) -> Fault:
    async def bring(faults: Faults, luck: random.Random) -> Outcome:
        outcome: Outcome = await getattr(faults, method)(luck, line, *LINES[line])
        return outcome

    return bring


def _of_node(method: str, sort: str) -> Fault:
    async def bring(faults: Faults, luck: random.Random) -> Outcome:
        outcome: Outcome = await getattr(faults, method)(luck, sort, SORTS[sort])
        return outcome

    return bring


async def _broker_clock(faults: Faults, luck: random.Random) -> Outcome:
    return await cast(NetworkFaults, faults).broker_clock(luck)


async def _database_clock(faults: Faults, luck: random.Random) -> Outcome:
    return await cast(NetworkFaults, faults).database_clock(luck)


async def _restored(faults: Faults, luck: random.Random) -> Outcome:
    return await cast(NetworkFaults, faults).restored(luck)


async def _resized(faults: Faults, luck: random.Random) -> Outcome:
    return await cast(NetworkFaults, faults).resized(luck)


async def _policy_changed(faults: Faults, luck: random.Random) -> Outcome:
    return await cast(NetworkFaults, faults).policy_changed(luck)


NETWORK_KINDS: dict[str, Kind] = {
    **{f"cut-{line.replace(' and ', '-')}": Kind(_of_line("cut", line), 14) for line in LINES},
    **{
        f"one-way-{line.replace(' and ', '-')}": Kind(_of_line("cut_one_way", line), 14)
        for line in LINES
    },
    **{f"alone-{sort}": Kind(_of_node("alone", sort), 6) for sort in SORTS},
    **{f"deaf-{sort}": Kind(_of_node("deaf", sort), 6) for sort in SORTS},
    **{f"slow-{sort}": Kind(_of_node("slow", sort), 6) for sort in SORTS},
    **{f"clock-{sort}": Kind(_of_node("clock", sort), 8) for sort in ("gateway", "workers")},
    "clock-broker": Kind(_broker_clock, 8),
    "clock-database": Kind(_database_clock, 6),
    "restored": Kind(_restored, 10),
    "resized": Kind(_resized, 4),
    "policy": Kind(_policy_changed, 10),
}
"""Every fault of the network by its short name."""

CLOCK_KINDS = frozenset({"clock-broker", "clock-database"})
"""Those that need libfaketime."""
