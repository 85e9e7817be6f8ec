"""Who may spend a hash now: bounded by user and in all, the others in turn."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.errors import ClientGoneError, OverloadedError
from gateway.lines import CALM, Line, Turn
from gateway.visitors import Visitors

Gone = Callable[[], "asyncio.Future[None] | None"]
"""Gives what is done once the client has left; asked only by who has to wait."""

MEMORY = 32
"""Turns after which the pace has mostly forgotten what was before."""

STALE = 5.0
"""Seconds after which a pace is none any more, if nobody has waited since: one turn that stood
still would else refuse a crowd hours later."""

OTHERS = 3.0
"""Seconds since another user's last request for which a flood is in somebody's way."""

REST = 9.0
"""How long a flooded user's next turn waits then, in times that a hash takes: it keeps a tenth of
one thread [measured: with a half, others' p99 was three times the quiet one]."""


class _Turn:
    """One request's turn: a context, and cheaper than a generator that is one."""

    __slots__ = ("_admission", "_began", "_gone", "_line", "_seconds", "_user")

    def __init__(self, admission: Admission, user: str, seconds: float, gone: Gone) -> None:
        self._admission = admission
        self._user = user
        self._seconds = seconds
        self._gone = gone

    async def __aenter__(self) -> None:
        self._line = await self._admission._enter(self._user, self._seconds, self._gone)
        self._began = self._admission._clock()

    async def __aexit__(self, *_: object) -> None:
        self._admission._leave(self._line, self._began)


class Admission:
    """Hands out turns. A user with hundreds of requests delays another by one turn at most."""

    def __init__(
        self,
        per_user: int,
        in_all: int,
        waiting_per_user: int,
        waiting: int,
        then: Admission | None = None,
        visitors: Visitors | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`then` is where those who have their turn wait again, for a thread.

        Its pace bounds this one's. With `visitors`, a flood makes way for others: it rests after
        each turn, by the time that one takes there.
        """
        self._per_user = per_user
        self._in_all = in_all
        self._waiting_per_user = waiting_per_user
        self._waiting_in_all = waiting
        self._lines: dict[str, Line] = {}
        self._next: OrderedDict[str, Line] = OrderedDict()  # could go, if there were room
        self._then = then
        self._clock = clock
        self._visitors = visitors
        self._floods: list[Line] = []
        self._pace = 0.0
        self._turn_seconds = 0.0
        self._wanted_since: float | None = None  # more turns than there were, since this time
        self._paced_at = 0.0
        self.running = 0
        self.waiting = 0

    @property
    def floods(self) -> int:
        """Users whose requests are too many."""
        return len(self._floods)

    @property
    def pace(self) -> float:
        """Seconds from one turn's end to the next one's, when more were wanted than there were."""
        return max(self._own_pace(), self._then.pace if self._then else 0.0)

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

    async def _enter(self, user: str, seconds: float, gone: Gone) -> Line:
        if self._visitors:
            self._visitors.came(user, self._clock())
        line = self._lines.get(user)
        if line is None:
            line = self._lines[user] = Line(user)
        if not line.waiting and line.may_go(self._per_user) and self.running < self._in_all:
            line.running += 1
            self.running += 1
        else:
            await self._wait(line, seconds, gone)
        return line

    async def _wait(self, line: Line, seconds: float, gone: Gone) -> None:
        now = self._clock()
        line.wants(now, seconds)
        self._look_for_flood(line, now)
        if self._wanted_since is None and not line.flood:
            self._pace = self._own_pace()
            self._wanted_since = now
        too_many = (
            self.waiting >= self._waiting_in_all or len(line.waiting) >= self._waiting_per_user
        )
        if too_many or self._expected(line) > seconds:
            line.refuse()
            self._forget(line)
            raise OverloadedError("Too many logins are waiting; try again later")
        left = gone()
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        self.waiting += 1
        self._queue(line)
        try:
            await asyncio.wait(
                (turn, left) if left else (turn,),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self._give_up(line, turn)
            raise
        if not turn.done():
            self._give_up(line, turn)
            if left and left.done():
                raise ClientGoneError("The client left before it was this request's turn")
            raise OverloadedError("It took too long until it was this login's turn")

    def _expected(self, line: Line) -> float:
        """Seconds until a further request of this line has its turn, at the present pace."""
        mine = len(line.waiting) + line.running + 1
        if line.flood:
            return mine * (self._turn_seconds + self._rest(line, self._turn_seconds))
        return self.pace * min(self.waiting + self.running, mine * len(self._lines))

    def _own_pace(self) -> float:
        stale = self._wanted_since is None and self._clock() - self._paced_at > STALE
        return 0.0 if stale else self._pace

    def _rest(self, line: Line, turn_seconds: float) -> float:
        """Seconds that a flood makes way after a turn of this length; none if nobody else comes.

        A turn that took no time, since the account is blocked meanwhile, was in nobody's way.
        """
        if not (self._then and self._visitors):
            return 0.0
        if self._visitors.alone_for(line.user, self._clock()) > OTHERS:
            return 0.0
        return REST * min(turn_seconds, self._then._turn_seconds)

    def _measure(self, began: float) -> float:
        """Note the end of a turn and give its length.

        If only floods waited for it, it says nothing about the pace.
        """
        now = self._clock()
        seconds = now - began
        self._turn_seconds += (seconds - self._turn_seconds) / MEMORY
        if self._wanted_since is not None:
            self._pace += (now - self._wanted_since - self._pace) / MEMORY
            self._paced_at = now
            self._wanted_since = None if self._only_floods_wait() else now
        return seconds

    def _only_floods_wait(self) -> bool:
        return self.waiting == sum(len(line.waiting) for line in self._floods)

    def _give_up(self, line: Line, turn: Turn) -> None:
        if turn.done():  # it came at the same moment
            self._leave(line, self._clock())
            return
        line.waiting.remove(turn)
        self.waiting -= 1
        if self._only_floods_wait():
            self._wanted_since = None
        if not line.waiting:
            self._next.pop(line.user, None)
            self._forget(line)

    def _leave(self, line: Line, began: float) -> None:
        seconds = self._measure(began)
        line.running -= 1
        self.running -= 1
        self._look_for_flood(line, self._clock())
        if line.flood and not line.rests and (rest := self._rest(line, seconds)):
            line.rests = True
            self._next.pop(line.user, None)
            asyncio.get_running_loop().call_later(rest, self._rested, line)
        self._go_on(line)

    def _rested(self, line: Line) -> None:
        line.rests = False
        self._go_on(line)

    def _look_for_flood(self, line: Line, now: float) -> None:
        """See its begin, here or in another process; its end is seen a while later."""
        if not self._visitors or line.flood:
            return
        if line.too_many(now):
            self._visitors.flood(line.user, now + CALM)
        elif not self._visitors.floods(line.user, now):
            return
        line.flood = True
        line.came = 0
        self._floods.append(line)
        asyncio.get_running_loop().call_later(CALM, self._await_calm, line)

    def _await_calm(self, line: Line) -> None:
        assert self._visitors
        now = self._clock()
        if self._more_than_all_threads_take(line.came):
            self._visitors.flood(line.user, now + CALM)
        if self._visitors.floods(line.user, now):
            line.came = 0
            asyncio.get_running_loop().call_later(CALM, self._await_calm, line)
        else:
            line.end_flood(now)
            self._floods.remove(line)
            self._go_on(line)

    def _more_than_all_threads_take(self, came: int) -> bool:
        """Whether so many in a CALM would be too many if there were nobody else.

        That some wait is no sign of it: a flood has them wait.
        """
        threads = self._then
        return threads is not None and came * threads._turn_seconds > CALM * threads._in_all

    def _go_on(self, line: Line) -> None:
        """Something has changed in this line; hand out what turns there are."""
        self._queue(line)
        self._forget(line)
        while self._next and self.running < self._in_all:
            _, line = self._next.popitem(last=False)
            line.waiting.popleft().set_result(None)
            line.running += 1
            self.running += 1
            self.waiting -= 1
            self._queue(line)

    def _queue(self, line: Line) -> None:
        """Behind all other users, if there is anybody who may go and is not in the queue."""
        if line.waiting and line.may_go(self._per_user):
            self._next.setdefault(line.user, line)

    def _forget(self, line: Line) -> None:
        if line.empty:
            self._lines.pop(line.user, None)
