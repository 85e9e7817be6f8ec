"""Who may spend a hash now: bounded by user and in all, the others in turn."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.errors import ClientGoneError, OverloadedError

Turn = asyncio.Future[None]

Gone = Callable[[], "asyncio.Future[None] | None"]
"""Gives what is done once the client has left; asked only by who has to wait."""

MEMORY = 32
"""Turns after which the pace has mostly forgotten what was before."""


@dataclass
class _Line:
    """One user's checks: how many run, and who waits."""

    running: int = 0
    waiting: deque[Turn] = field(default_factory=deque)


class _Turn:
    """One request's turn: a context, and cheaper than a generator that is one."""

    __slots__ = ("_admission", "_gone", "_line", "_seconds", "_user")

    def __init__(self, admission: Admission, user: str, seconds: float, gone: Gone) -> None:
        self._admission = admission
        self._user = user
        self._seconds = seconds
        self._gone = gone

    async def __aenter__(self) -> None:
        self._line = await self._admission._enter(self._user, self._seconds, self._gone)

    async def __aexit__(self, *_: object) -> None:
        self._admission._leave(self._user, self._line)


class Admission:
    """Hands out turns. A user with hundreds of requests delays another by one turn at most."""

    def __init__(
        self,
        per_user: int,
        in_all: int,
        waiting_per_user: int,
        waiting: int,
        then: Admission | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`then` is where those who have their turn wait again: its pace bounds this one's."""
        self._per_user = per_user
        self._in_all = in_all
        self._waiting_per_user = waiting_per_user
        self._waiting_in_all = waiting
        self._lines: dict[str, _Line] = {}
        self._next: OrderedDict[str, _Line] = OrderedDict()  # could go, if there were room
        self._then = then
        self._clock = clock
        self._pace = 0.0
        self._wanted_since: float | None = None  # more turns than there were, since this time
        self.running = 0
        self.waiting = 0

    @property
    def pace(self) -> float:
        """Seconds from one turn's end to the next one's, when more were wanted than there were."""
        return max(self._pace, self._then.pace if self._then else 0.0)

    def hopeless(self, seconds: float) -> bool:
        """Whether no request that comes now, whoever's it is, would have its turn in this time."""
        return self.running >= self._in_all and (
            self.waiting >= self._waiting_in_all or len(self._lines) * self.pace > seconds
        )

    def turn(self, user: str, seconds: float, gone: Gone) -> _Turn:
        """A context whose body runs when it is this request's turn, within this time.

        Its begin raises OverloadedError where too many wait for that, or the time is over first,
        and ClientGoneError where it has to wait and `gone` says that the client left first. A
        request that need not wait has its turn in any case: leaving at once is no way not to be
        counted.
        """
        return _Turn(self, user, seconds, gone)

    async def _enter(self, user: str, seconds: float, gone: Gone) -> _Line:
        line = self._lines.setdefault(user, _Line())
        if line.running < self._per_user and self.running < self._in_all:  # so nobody waits
            line.running += 1
            self.running += 1
        else:
            await self._wait(user, line, seconds, gone)
        return line

    async def _wait(self, user: str, line: _Line, seconds: float, gone: Gone) -> None:
        if self._wanted_since is None:
            self._wanted_since = self._clock()
        too_many = (
            self.waiting >= self._waiting_in_all or len(line.waiting) >= self._waiting_per_user
        )
        if too_many or self._expected(line) > seconds:
            self._forget(user, line)
            raise OverloadedError("Too many logins are waiting; try again later")
        left = gone()
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        self.waiting += 1
        self._queue(user, line)
        try:
            await asyncio.wait(
                (turn, left) if left else (turn,),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self._give_up(user, line, turn)
            raise
        if not turn.done():
            self._give_up(user, line, turn)
            if left and left.done():
                raise ClientGoneError("The client left before it was this request's turn")
            raise OverloadedError("It took too long until it was this login's turn")

    def _expected(self, line: _Line) -> float:
        """Seconds until a further request of this line has its turn, at the present pace."""
        mine = len(line.waiting) + line.running + 1
        return self.pace * min(self.waiting + self.running, mine * len(self._lines))

    def _measure(self) -> None:
        """A turn ended; if nobody waited for that, it says nothing about the pace."""
        if self._wanted_since is not None:
            now = self._clock()
            self._pace += (now - self._wanted_since - self._pace) / MEMORY
            self._wanted_since = now if self.waiting else None

    def _give_up(self, user: str, line: _Line, turn: Turn) -> None:
        if turn.done():  # it came at the same moment
            self._leave(user, line)
            return
        line.waiting.remove(turn)
        self.waiting -= 1
        if not line.waiting:
            self._next.pop(user, None)
            self._forget(user, line)

    def _leave(self, user: str, line: _Line) -> None:
        self._measure()
        line.running -= 1
        self.running -= 1
        self._queue(user, line)
        self._forget(user, line)
        while self._next and self.running < self._in_all:
            user, line = self._next.popitem(last=False)
            line.waiting.popleft().set_result(None)
            line.running += 1
            self.running += 1
            self.waiting -= 1
            self._queue(user, line)

    def _queue(self, user: str, line: _Line) -> None:
        """Behind all other users, if there is anybody who may go and is not in the queue."""
        if line.waiting and line.running < self._per_user:
            self._next.setdefault(user, line)

    def _forget(self, user: str, line: _Line) -> None:
        if not line.running and not line.waiting:
            self._lines.pop(user, None)
