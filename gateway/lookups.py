"""Looks accounts up, together: those that are asked for while Postgres answers go next, at once."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from psycopg import AsyncConnection

from gateway.accounts import select_password_hashes
from gateway.database import Query
from gateway.errors import UnavailableError

LATE = 0.1
"""Seconds after which the next ones do not wait any longer for those before."""

Answer = asyncio.Future[str | None]


class Asking(Protocol):
    """What this needs of :class:`gateway.database.Database`."""

    async def run(self, query: Query[dict[str, str]], seconds: float) -> dict[str, str]: ...


class Lookups:
    """The hashes of accounts' passwords."""

    def __init__(self, database: Asking, deadline_seconds: float) -> None:
        self._database = database
        self._deadline = deadline_seconds
        self._waiting: dict[str, Answer] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._started = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def password_hash(self, user: str, seconds: float) -> str | None:
        """The hash of this account's password; None where there is no such account.

        Raises UnavailableError where Postgres does not say within this time.
        """
        answer = self._waiting.get(user)
        if answer is None:
            answer = self._waiting[user] = asyncio.get_running_loop().create_future()
        self._go_on()
        await asyncio.wait((answer,), timeout=seconds)
        if not answer.done():
            raise UnavailableError("Postgres did not answer in time; try again later")
        return answer.result()

    def _go_on(self) -> None:
        if not self._waiting or self._timer:
            return
        late = self._started + LATE - time.monotonic()
        if self._under_way and late > 0:
            self._timer = asyncio.get_running_loop().call_later(late, self._start)
        else:
            self._start()

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._started = time.monotonic()
        answers, self._waiting = self._waiting, {}
        task = asyncio.ensure_future(self._look_up(answers))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._start()

    async def _look_up(self, answers: dict[str, Answer]) -> None:
        async def query(connection: AsyncConnection) -> dict[str, str]:
            return await select_password_hashes(connection, list(answers))

        try:
            found = await self._database.run(query, self._deadline)
        except Exception as error:
            for answer in answers.values():
                answer.set_exception(error)
                answer.exception()  # who asked may have given up, and will not look
        else:
            for user, answer in answers.items():
                answer.set_result(found.get(user))
