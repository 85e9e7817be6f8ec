"""Who may spend a hash now: bounded by user and in all, the others in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.errors import ClientGoneError, OverloadedError

Turn = asyncio.Future[None]


@dataclass
class _Line:
    """One user's checks: how many run, and who waits."""

    running: int = 0
    waiting: deque[Turn] = field(default_factory=deque)


class Admission:
    """Hands out turns. A user with hundreds of requests delays another by one turn at most."""

    def __init__(self, per_user: int, in_all: int, waiting_per_user: int, waiting: int) -> None:
        self._per_user = per_user
        self._in_all = in_all
        self._waiting_per_user = waiting_per_user
        self._waiting_in_all = waiting
        self._lines: dict[str, _Line] = {}
        self._next: OrderedDict[str, _Line] = OrderedDict()  # could go, if there were room
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def turn(
        self, user: str, seconds: float, gone: asyncio.Future[None] | None = None
    ) -> AsyncIterator[None]:
        """Run the body when it is this request's turn, within this time.

        Raises OverloadedError where too many wait, or the time is over first, and
        ClientGoneError where it has to wait and `gone` is done first. A request that
        need not wait has its turn in any case: leaving at once is no way not to be counted.
        """
        line = self._lines.setdefault(user, _Line())
        if line.running < self._per_user and self.running < self._in_all:  # so nobody waits
            line.running += 1
            self.running += 1
        else:
            await self._wait(user, line, seconds, gone)
        try:
            yield
        finally:
            self._leave(user, line)

    async def _wait(
        self, user: str, line: _Line, seconds: float, gone: asyncio.Future[None] | None
    ) -> None:
        if self.waiting >= self._waiting_in_all or len(line.waiting) >= self._waiting_per_user:
            self._forget(user, line)
            raise OverloadedError("Too many logins are waiting; try again later")
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        self.waiting += 1
        self._queue(user, line)
        try:
            await asyncio.wait(
                (turn, gone) if gone else (turn,),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self._give_up(user, line, turn)
            raise
        if not turn.done():
            self._give_up(user, line, turn)
            if gone and gone.done():
                raise ClientGoneError("The client left before it was this request's turn")
            raise OverloadedError("It took too long until it was this login's turn")

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
