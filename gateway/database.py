"""Postgres for request handlers: a pool, and no waiting without a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateway import metrics
from gateway.errors import UnavailableError
from gateway.logs import Sparse
from settings import Settings

T = TypeVar("T")


class Connection(AsyncConnection):
    """A connection that knows when it last answered, on the monotonic clock."""

    answered = float("-inf")


Query = Callable[[AsyncConnection], Awaitable[T]]

UNCHECKED = 1.0
"""Seconds after an answer in which a connection is believed to live: to ask it first would double
what a busy gateway asks Postgres. Who believes it wrongly gets the 503 of those just before."""

RECONNECT_SECONDS = 2.0
"""The pool waits longer after each vain attempt; starting over keeps the waits short."""


class Database:
    """Runs functions that take a connection first."""

    def __init__(self, settings: Settings) -> None:
        self._deadline = settings.deadline_seconds
        self._pool = AsyncConnectionPool(
            settings.require_database(),
            kwargs={"autocommit": True, **connection_arguments("gateway")},
            min_size=settings.database_connections,
            max_size=settings.database_connections,
            timeout=settings.deadline_seconds,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=self._configure,
            connection_class=Connection,
            check=_check,
            open=False,
        )
        self._late: set[asyncio.Task[object]] = set()
        self._log = Sparse()

    async def open(self) -> None:
        """Start to connect; does not wait for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections, at once."""
        await self._pool.close(timeout=0.5)

    async def run(self, query: Query[T], seconds: float) -> T:
        """What the query returns, or UnavailableError; within this time either way.

        A call that is late is left alone: to await the end of a cancelled one takes as
        long as a frozen server likes.
        """
        task = asyncio.ensure_future(self._run(query))
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            self._abandon(task)
            self._log.warning("A call to Postgres is late and was abandoned", seconds=seconds)
            raise UnavailableError("Postgres did not answer in time; try again later")
        try:
            return task.result()
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            self._log.warning("A call to Postgres failed", reason=str(error).strip())
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
            task.exception()  # nobody else will ask for it

    async def _configure(self, connection: AsyncConnection) -> None:
        # The server gives up, too, or its locks would outlive our patience.
        milliseconds = str(int(self._deadline * 1000))
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute("SELECT set_config(%s, %s, false)", (setting, milliseconds))


async def _check(connection: Connection) -> None:
    if time.monotonic() - connection.answered > UNCHECKED:
        await AsyncConnectionPool.check_connection(connection)


def connection_arguments(role: str) -> dict[str, Any]:
    """What makes a dead server noticed within seconds, and this process known to it."""
    return {
        "application_name": f"cerrojo {role}",
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
