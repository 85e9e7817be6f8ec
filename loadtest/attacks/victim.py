"""Somebody that only wants to log in while others attack, and a look at the system's processes."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

import psutil

from loadtest.attacks.attack import Port, System
from loadtest.attacks.wire import ask, credentials, log_in

LIMIT_SECONDS = 1.0
"""A victim's login takes less."""

PAUSE_SECONDS = 0.1  # between its logins

MOST_GROWTH = 512 * 2**20
"""Bytes by which the gateway may grow while it is attacked."""

UNSEEN = "its processes were not seen, so nobody knows of restarts and memory"

PROMISE = "others log in within 1 s; nothing restarts; memory is bounded"


@dataclass
class Victim:
    """Logs in again and again, from an address that attacks nobody, for as long as it is a context.

    It does so in a process of its own, where the attackers' work does not count, and each login has
    a connection of its own, which an attack may have left no room for.
    """

    system: System
    answers: list[tuple[int, float]] = field(default_factory=list)
    """The status and the seconds of each login; status 0: none came."""
    _another: asyncio.Condition = field(default_factory=asyncio.Condition)
    _process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Victim:
        """Register, and begin to log in."""
        user, password = self.system.user("victim"), f"of {self.system.tag}"
        made = await ask(self.system.login, "POST", "/register", credentials(user, password))
        if made.status not in (201, 409):  # 409: it was there in another attack of this run
            raise RuntimeError(f"A victim could not be registered: {made.status or 'no answer'}.")
        port = self.system.login
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.attacks.victim", port.host, str(port.number)),
            *(user, password),
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        assert self._process is not None
        assert self._reading is not None
        self._process.terminate()
        await self._process.wait()
        self._reading.cancel()

    async def logged_in(self, times: int) -> None:
        """Return when it has tried so many times more."""
        wanted = len(self.answers) + times
        async with self._another:
            await self._another.wait_for(lambda: len(self.answers) >= wanted)

    @property
    def held(self) -> bool:
        """Whether each login was let in, in less than a second."""
        return bool(self.answers) and all(
            status == 200 and seconds < LIMIT_SECONDS for status, seconds in self.answers
        )

    def __str__(self) -> str:
        """What became of its logins."""
        refused = sum(status != 200 for status, _ in self.answers)
        slowest = max((seconds for _, seconds in self.answers), default=0.0)
        told = f"a victim's {len(self.answers)} logins: {slowest * 1000:.0f} ms at most"
        return f"{told}, {refused} refused" if refused else told

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            status, seconds = line.split()
            async with self._another:
                self.answers.append((int(status), float(seconds)))
                self._another.notify_all()


class Processes:
    """The gateway's processes at one moment: who and how large.

    Nobody sees those of another machine or of another user: then none restarted and none grew, for
    all that is known.
    """

    def __init__(self, system: System) -> None:
        self._root = _listening(system.login.number) if system.login.is_here else None
        self._before = self._look()

    @property
    def seen(self) -> bool:
        """Whether there is anything to say of them."""
        return self._root is not None

    def restarted(self) -> int:
        """How many of those that were there are gone."""
        return len(self._before.keys() - self._look().keys())

    def grown(self) -> int:
        """By how many bytes they are larger together than they were."""
        return sum(self._look().values()) - sum(self._before.values())

    def _look(self) -> dict[int, int]:
        if self._root is None:
            return {}
        found = {}
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                found[process.pid] = process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return found


class Watch:
    """A victim that logs in and the processes that must not end, during an attack."""

    def __init__(self, system: System) -> None:
        self.victim = Victim(system)
        self._processes = Processes(system)

    async def __aenter__(self) -> Watch:
        """Begin, with some logins before the attack."""
        await self.victim.__aenter__()
        await self.victim.logged_in(2)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, and look."""
        await self.victim.__aexit__()
        self._restarted, self._grown = self._processes.restarted(), self._processes.grown()

    @property
    def held(self) -> bool:
        """Whether the victim was let in each time in time, and nothing seen ended or grew much."""
        return self.victim.held and not self._restarted and self._grown < MOST_GROWTH

    def __str__(self) -> str:
        """What happened."""
        if not self._processes.seen:
            return f"{self.victim}; {UNSEEN}"
        return f"{self.victim}; {self._restarted} restarts, {self._grown / 2**20:+.0f} MB"


def _listening(port: int) -> psutil.Process | None:
    """The topmost process that listens there: its children share the socket."""
    holders = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.port == port
        and connection.pid
    }
    for pid in holders:
        if psutil.Process(pid).ppid() not in holders:
            return psutil.Process(pid)
    return None


async def _log_in(port: Port, user: str, password: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        answer = await log_in(port, user, password)
        print(answer.status, loop.time() - began, flush=True)
        await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    host, number, *who = sys.argv[1:]
    asyncio.run(_log_in(Port(host, int(number)), *who))
