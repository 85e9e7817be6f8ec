"""Postgres for request handlers: a pool whose waits are bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from gateway import metrics
from gateway.errors import LateAnswerError, UnavailableError
from gateway.rate_limited_logger import RateLimitedLogger
from settings import Settings
from sql.connection import Limits, connection_options

T = TypeVar("T")


class PooledConnection(AsyncConnection):
    """A connection with the monotonic time of its last answer."""

    answered = float("-inf")


Query = Callable[[AsyncConnection], Awaitable[T]]

UNCHECKED_SECONDS = 1.0
"""A connection is not checked so long after an answer: a check would double the round trips of a
busy gateway. A request on a connection that has died since gets 503."""

MISTAKES = (
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    psycopg.DataError,
    psycopg.IntegrityError,
)
"""Errors of a query, or of its arguments: waiting changes nothing, somebody has to see them.

Any other is the server's, or of the way to it: it is away, full, read-only, damaged, or behind a
proxy with codes of its own."""

NOT_RESTORED = (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege)
"""Those of them that a query meets in a database that is being restored."""

_LATE = "Postgres did not answer in time; try again later"

RECONNECT_SECONDS = 2.0
"""The pool waits longer after each failed attempt; starting over keeps the waits short."""


class Queries(Protocol):
    """Runs a query within this time, as :class:`Database` does."""

    async def run(self, query: Query[T], seconds: float) -> T: ...


class Database:
    """Runs functions that take a connection first."""

    def __init__(self, settings: Settings) -> None:
        # The server gives up, too, or its locks would outlive the request.
        limit = int(settings.deadline_seconds * 1000)
        self._pool = AsyncConnectionPool(
            settings.require_database(),
            kwargs={"autocommit": True, **connection_options("gateway")},
            configure=Limits(limit, limit, limit).set_async,
            min_size=settings.database_connections,
            max_size=settings.database_connections,
            timeout=settings.deadline_seconds,
            reconnect_timeout=RECONNECT_SECONDS,
            connection_class=PooledConnection,
            check=_check,
            open=False,
        )
        self._late: set[asyncio.Task[object]] = set()
        self._logger = RateLimitedLogger()

    async def open(self) -> None:
        """Start to connect; does not wait for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections, at once."""
        await self._pool.close(timeout=0.5)

    async def run(self, query: Query[T], seconds: float) -> T:
        """The query's result, within this time. Raises UnavailableError, or LateAnswerError.

        A call that is late is left alone: to await the end of a cancelled one takes as
        long as a frozen server likes.
        """
        task = asyncio.ensure_future(self._run(query))
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            self._abandon(task)
            self._logger.warning("A call to Postgres is late and was abandoned", seconds=seconds)
            raise LateAnswerError(_LATE)
        try:
            return task.result()
        except psycopg.errors.QueryCanceled as error:
            self._logger.warning("A call to Postgres took too long there", seconds=seconds)
            raise LateAnswerError(_LATE) from error
        except psycopg.Error as error:
            if isinstance(error, MISTAKES) and not isinstance(error, NOT_RESTORED):
                raise
            self._logger.warning("A call to Postgres failed", reason=str(error).strip())
            raise UnavailableError("Postgres is not available; try again later") from error

    def observe(self) -> None:
        """Bring the pool's metrics up to date."""
        stats = self._pool.get_stats()
        idle = stats.get("pool_available", 0)
        metrics.POOL_CONNECTIONS.labels("idle").set(idle)
        metrics.POOL_CONNECTIONS.labels("used").set(stats.get("pool_size", 0) - idle)
        metrics.POOL_WAITING.set(stats.get("requests_waiting", 0))

    async def _run(self, query: Query[T]) -> T:
        async with self._pool.connection() as connection:
            result = await query(connection)
            connection.answered = time.monotonic()
            return result

    def _abandon(self, task: asyncio.Task[T]) -> None:
        self._late.add(task)  # the loop itself keeps no strong reference
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved


async def _check(connection: PooledConnection) -> None:
    if time.monotonic() - connection.answered > UNCHECKED_SECONDS:
        await AsyncConnectionPool.check_connection(connection)
