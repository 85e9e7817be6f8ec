"""Turns by account: a few logins of one account have theirs at the same time, the others wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.errors import ClientGoneError, OverloadedError

ClientGone = Callable[[], "asyncio.Future[None] | None"]
"""Gives a future that is done once the client has left; called only for requests that wait."""


@dataclass(eq=False)
class _Account:
    """The requests of one account in this process."""

    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class _Turn:
    """One request's turn: a context, and cheaper than a generator that is one."""

    __slots__ = ("_client_gone", "_name", "_seconds", "_turns")

    def __init__(
        self, turns: AccountTurns, name: str, seconds: float, client_gone: ClientGone
    ) -> None:
        self._turns = turns
        self._name = name
        self._seconds = seconds
        self._client_gone = client_gone

    async def __aenter__(self) -> bool:
        return await self._turns._enter(self._name, self._seconds, self._client_gone)

    async def __aexit__(self, *_: object) -> None:
        self._turns._leave(self._name)


class AccountTurns:
    """Lets a number of requests of each account go on at the same time, in order of arrival.

    A turn lasts from before the hash until after the verdict. So of two hundred guesses at one
    account only some cost a hash: the others hear of the block while they wait. What other accounts
    do is not looked at here.
    """

    def __init__(self, per_account: int, waiting_per_account: int, waiting: int) -> None:
        """At most `waiting_per_account` of an account may wait, and `waiting` of all of them."""
        self._per_account = per_account
        self._waiting_per_account = waiting_per_account
        self._waiting_in_all = waiting
        self._accounts: dict[str, _Account] = {}
        self.waiting = 0
        """How many wait."""

    def turn(self, name: str, seconds: float, client_gone: ClientGone) -> _Turn:
        """A context whose body runs when it is this request's turn; it gives whether it is alone.

        Alone means that no other request of this account was in hand when it came. The begin raises
        OverloadedError where too many wait or this time is over first, and ClientGoneError where
        the client leaves before. A request that need not wait has its turn in any case: leaving at
        once is no way not to be counted.
        """
        return _Turn(self, name, seconds, client_gone)

    async def _enter(self, name: str, seconds: float, client_gone: ClientGone) -> bool:
        account = self._accounts.get(name)
        if account is None:
            self._accounts[name] = _Account(running=1)
            return True
        if account.running < self._per_account and not account.waiting:
            account.running += 1
        else:
            await self._wait(account, seconds, client_gone)
        return False

    async def _wait(self, account: _Account, seconds: float, client_gone: ClientGone) -> None:
        if (
            self.waiting >= self._waiting_in_all
            or len(account.waiting) >= self._waiting_per_account
        ):
            raise OverloadedError("Too many logins are waiting; try again later")
        gone = client_gone()
        turn = asyncio.get_running_loop().create_future()
        account.waiting.append(turn)
        self.waiting += 1
        try:
            await asyncio.wait(
                (turn, gone) if gone else (turn,),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self._give_up(account, turn)
            raise
        if not turn.done():
            self._give_up(account, turn)
            if gone and gone.done():
                raise ClientGoneError("The client left before it was this request's turn")
            raise OverloadedError("It took too long until it was this login's turn")

    def _give_up(self, account: _Account, turn: asyncio.Future[None]) -> None:
        if turn.done():  # it came at the same moment
            self._next(account)
        else:
            account.waiting.remove(turn)
            self.waiting -= 1

    def _leave(self, name: str) -> None:
        account = self._accounts[name]
        self._next(account)
        if not account.running:
            del self._accounts[name]

    def _next(self, account: _Account) -> None:
        """Hand a turn that has ended to the next request of this account."""
        if account.waiting:
            account.waiting.popleft().set_result(None)
            self.waiting -= 1
        else:
            account.running -= 1
