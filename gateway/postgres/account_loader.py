"""Loads accounts in batches: those asked for while Postgres answers are the next batch."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from psycopg import AsyncConnection

from gateway.errors import UnavailableError
from gateway.late import LATE, Late, give_up_in
from gateway.postgres.accounts import GOOD_SECONDS, Account, select_accounts
from gateway.postgres.database import Queries

LATE_SECONDS = 0.1
"""The next batch waits so long for the one before."""

Answer = asyncio.Future[Account | None | Late]


class AccountLoader:
    """The accounts, as Postgres has them now."""

    def __init__(
        self,
        database: Queries,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._deadline = deadline_seconds
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, list[Answer]] = defaultdict(list)
        self._under_way: set[asyncio.Task[None]] = set()
        self._started = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def account(self, user: str, seconds: float) -> Account | None:
        """This user's account, as it was after this was called; None where there is none.

        Raises UnavailableError where Postgres does not say within this time.
        """
        answer: Answer = self._loop.create_future()
        self._waiting[user].append(answer)
        self._go_on()
        timer = give_up_in(self._loop, seconds, answer)
        try:
            found = await answer
        finally:
            timer.cancel()
        if found is LATE:
            raise UnavailableError("Postgres did not answer in time; try again later")
        return found

    async def recent_account(self, user: str, seconds: float) -> Account | None:
        """The same, as it was less than GOOD_SECONDS before this returns.

        An answer that was on its way for longer is asked for anew.
        """
        due = self._clock() + seconds
        while True:
            began = self._clock()
            found = await self.account(user, due - began)
            if self._clock() - began < GOOD_SECONDS:
                return found

    def _go_on(self) -> None:
        if not self._waiting or self._timer:
            return
        late = self._started + LATE_SECONDS - self._clock()
        if self._under_way and late > 0:
            self._timer = self._loop.call_later(late, self._start)
        else:
            self._start()

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._started = self._clock()
        answers, self._waiting = self._waiting, defaultdict(list)
        task = asyncio.ensure_future(self._look_up(answers))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._start()

    async def _look_up(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        async def query(connection: AsyncConnection) -> dict[str, Account]:
            return await select_accounts(connection, list(answers))

        try:
            found = await self._database.run(query, self._deadline)
        except Exception as error:
            for those in answers.values():
                for answer in those:
                    if not answer.done():
                        answer.set_exception(error)
        else:
            for user, those in answers.items():
                for answer in those:
                    if not answer.done():
                        answer.set_result(found.get(user))
