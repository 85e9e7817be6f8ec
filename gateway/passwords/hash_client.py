"""Has passwords hashed by the hash processes of this host."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from gateway import metrics
from gateway.admission.account_turns import ClientGone
from gateway.admission.waiting_room import WaitingRoom
from gateway.errors import ClientGoneError, OverloadedError, UnavailableError
from gateway.late import LATE, Late, give_up_in
from gateway.passwords.hash_protocol import (
    HASH_BY,
    BadHash,
    BadHashError,
    Check,
    Checked,
    Dropped,
    Frames,
    HashAnswer,
    Lane,
    Made,
    Make,
    NoMemory,
    Withdraw,
    frame,
)
from settings import Settings

RECONNECT_SECONDS = 0.02
"""Between tries to connect: a hash process that died is back after a start of Python."""


class Checking(NamedTuple):
    """The outcome of a check of a password."""

    right: bool
    outdated: bool
    """Whether the hash was made by other settings than today's."""


class Patience(NamedTuple):
    """Until when a request waits, and for whom."""

    begin_by: float
    """When it is too late to begin, on the monotonic clock."""
    due: float
    """When an answer is too late."""
    client_gone: ClientGone


@dataclass(slots=True)
class _Pending:
    answer: asyncio.Future[HashAnswer | Late]
    frame: bytes
    timer: asyncio.TimerHandle | None = None
    """Until it is withdrawn, and then until it is given up."""

    def stop(self) -> None:
        if self.timer:
            self.timer.cancel()


class _LaneClient(asyncio.Protocol):
    """The requests of this process to one hash process, whichever serves its socket."""

    def __init__(self, path: Path, threads: int, room: WaitingRoom) -> None:
        self._path = path
        self._threads = threads
        self._room = room
        self._pending: dict[int, _Pending] = {}
        self._of_sources: Counter[str] = Counter()
        self._frames = Frames()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._lost = asyncio.Event()
        self.connected: asyncio.Future[None] = self._loop.create_future()
        self._keeping = asyncio.ensure_future(self._keep_connected())

    def __len__(self) -> int:
        return len(self._pending)

    def full(self, source: str) -> bool:
        """Whether a request that comes from there now would wait in vain."""
        own = self._of_sources.get(source, 0)
        return self._room.full(len(self._pending), own, len(self._of_sources) + (not own))

    async def ask(self, request: Check | Make, patience: Patience) -> HashAnswer:
        """The answer to a request. Raises OverloadedError, ClientGoneError and UnavailableError."""
        if self.full(request.source):
            raise OverloadedError("Too many logins are waiting; try again later")
        # A request that need not wait has its hash in any case: leaving at once is no way not to be
        # counted.
        waits = len(self._pending) >= self._threads
        pending = _Pending(self._loop.create_future(), frame(request))
        self._pending[request.number] = pending
        self._of_sources[request.source] += 1
        self._send(pending.frame)
        gone = None
        withdraw = partial(self._withdraw, request.number, patience.due)
        seconds = max(0.0, patience.begin_by - time.monotonic())
        pending.timer = self._loop.call_later(seconds, withdraw)
        try:
            if waits and (gone := patience.client_gone()):
                gone.add_done_callback(withdraw)
            return self._conclude(await pending.answer, gone)
        finally:
            pending.stop()
            if gone:
                gone.remove_done_callback(withdraw)
            del self._pending[request.number]
            self._of_sources[request.source] -= 1
            if not self._of_sources[request.source]:
                del self._of_sources[request.source]

    def _withdraw(self, number: int, due: float, _: object = None) -> None:
        """It is too late to begin it, or its client has left; it may have begun."""
        pending = self._pending.get(number)
        if pending is not None and not pending.answer.done():  # else it came at the same moment
            pending.stop()
            self._send(frame(Withdraw(number)))
            pending.timer = give_up_in(self._loop, due - time.monotonic(), pending.answer)

    def _conclude(self, found: HashAnswer | Late, gone: asyncio.Future[None] | None) -> HashAnswer:
        if found is LATE or isinstance(found, NoMemory):
            raise UnavailableError("No password can be checked at the moment; try again later")
        if isinstance(found, Dropped):
            if gone and gone.done():
                raise ClientGoneError("The client left before it was this request's turn")
            self._room.in_vain()
            raise OverloadedError("It took too long until it was this login's turn")
        self._room.served()
        return found

    def _send(self, data: bytes) -> None:
        """Send a frame with all others of this turn of the loop, by one call of the system."""
        if not self._unsent:
            self._loop.call_soon(self._send_all)
        self._unsent.append(data)

    def _send_all(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and unsent:
            self._transport.write(b"".join(unsent))

    async def close(self) -> None:
        """Disconnect; nothing may be asked any more."""
        self._keeping.cancel()
        await asyncio.wait((self._keeping,))
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()

    async def _keep_connected(self) -> None:
        while True:
            try:
                self._lost.clear()
                await self._loop.create_unix_connection(lambda: self, str(self._path))
            except OSError:  # it has just died, and its successor listens by itself
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask again what has no answer: what a dead process had begun, it has told nobody."""
        self._frames = Frames()
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's has another base
        self._unsent = []  # all that has no answer is sent here
        for pending in self._pending.values():
            if not pending.answer.done():
                self._transport.write(pending.frame)
        if not self.connected.done():
            self.connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Hand over the answers."""
        for answer in self._frames.answers(data):
            pending = self._pending.get(answer.number)
            if pending is not None and not pending.answer.done():
                pending.answer.set_result(answer)

    def connection_lost(self, _: Exception | None) -> None:
        """Connect again."""
        self._transport = None
        self._lost.set()


class HashClient:
    """Checks and makes hashes. Made inside the event loop."""

    def __init__(
        self,
        settings: Settings,
        sockets: Path,
    ) -> None:
        """`sockets` is the directory of the hash processes' sockets, named by lane."""
        self._deadline_seconds = settings.deadline_seconds
        self._threads = settings.hash_threads
        self._numbers = itertools.count()
        patience_seconds = HASH_BY * settings.deadline_seconds
        self._lanes = {
            lane: _LaneClient(
                sockets / lane,
                settings.hash_threads,
                WaitingRoom(settings.waiting, patience_seconds),
            )
            for lane in Lane
        }

    async def connected(self) -> None:
        """Return once both hash processes can be asked."""
        for lane in self._lanes.values():
            await asyncio.shield(lane.connected)

    def overloaded(self, source: str) -> bool:
        """Whether a login from there, of an account with no other in hand, would wait in vain."""
        return self._lanes[Lane.FOREGROUND].full(source)

    def crowded(self, lane: Lane) -> bool:
        """Whether more requests wait for their hashes than have them made."""
        return len(self._lanes[lane]) > 2 * self._threads

    @property
    def in_hand(self) -> int:
        """How many requests have no answer yet."""
        return sum(map(len, self._lanes.values()))

    def begin_by(self, due: float) -> float:
        """When it is too late to begin a hash for an answer at `due`."""
        return due - (1 - HASH_BY) * self._deadline_seconds

    async def check(
        self,
        lane: Lane,
        account: str,
        stored: str | None,
        password: str,
        due: float,
        client_gone: ClientGone,
        source: str = "",
    ) -> Checking:
        """Whether this is the password; as slow where there is no such account.

        Raises BadHashError; OverloadedError where too many wait, or it would begin too late;
        ClientGoneError where the client leaves before it begins; UnavailableError.
        """
        begin_by = self.begin_by(due)
        request = Check(next(self._numbers), account, begin_by, stored, password, source)
        answer = await self._lanes[lane].ask(request, Patience(begin_by, due, client_gone))
        if isinstance(answer, BadHash):
            metrics.HASH_SECONDS.observe(answer.seconds)
            raise BadHashError(answer.reason)
        assert isinstance(answer, Checked)
        metrics.HASH_SECONDS.observe(answer.seconds)
        return Checking(answer.right, answer.outdated)

    async def make(
        self,
        lane: Lane,
        account: str,
        password: str,
        due: float,
        client_gone: ClientGone,
        source: str = "",
    ) -> str:
        """A new hash of this password. Raises as :meth:`check` does."""
        begin_by = self.begin_by(due)
        request = Make(next(self._numbers), account, begin_by, password, source)
        answer = await self._lanes[lane].ask(request, Patience(begin_by, due, client_gone))
        assert isinstance(answer, Made)
        metrics.HASH_SECONDS.observe(answer.seconds)
        return answer.password_hash

    async def close(self) -> None:
        """Disconnect."""
        for lane in self._lanes.values():
            await lane.close()
