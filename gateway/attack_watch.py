"""Notes when an attack begins and ends, for the relay to tell others.

All gateways fold the topic `sources` to the same counts, so each sees the same attack, and Postgres
takes the first one's word (`note_attack`). It has begun for a gateway that sees it, and is over for
one that has not seen any for a minute, and knows it: one that has just started says nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection

from gateway.errors import UnavailableError
from gateway.limits.source_view import SourceView
from gateway.postgres.database import Queries
from gateway.postgres.event_notes import note_attack
from gateway.rate_limited_logger import RateLimitedLogger

CALM_SECONDS = 60.0
"""Without an attack for so long, it is over; what is known is noted as often."""

LOOK_SECONDS = 1.0

SHOWN = 10
"""Sources and accounts in an event, of those with the most refusals."""


class AttackWatch:
    """Looks at the view each second. Made inside the event loop."""

    def __init__(
        self,
        view: SourceView,
        database: Queries,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._database = database
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._calm_since: float | None = None
        self._noted: tuple[bool, float] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._logger = RateLimitedLogger()

    def start(self) -> None:
        """Begin to look; returns at once."""
        self._watching = asyncio.ensure_future(self._keep_watching())

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))

    def state(self) -> bool | None:
        """Whether an attack lasts; None where this gateway cannot say."""
        now = self._clock()
        if not self._view.live or self._view.attack:
            self._calm_since = None
            return True if self._view.attack else None
        self._calm_since = now if self._calm_since is None else self._calm_since
        return None if now - self._calm_since < CALM_SECONDS else False

    async def look(self) -> None:
        """Note what is so, if it is new or was noted long ago. Raises UnavailableError."""
        lasts, now = self.state(), self._clock()
        if lasts is None:
            return
        if self._noted and self._noted[0] == lasts and now - self._noted[1] < CALM_SECONDS:
            return
        found = self._view.attacks(SHOWN)
        what: dict[str, Any] = {
            "failed_accounts": found.failed,
            "succeeded_accounts": found.succeeded,
        }
        if lasts:
            what["sources"] = [heavy.key for heavy in found.sources]
            what["accounts"] = [heavy.key for heavy in found.accounts]

        async def query(connection: AsyncConnection) -> bool:
            return await note_attack(connection, lasts, what)

        await self._database.run(query, self._deadline_seconds)
        self._noted = lasts, now

    async def _keep_watching(self) -> None:
        while True:
            try:
                await self.look()
            except UnavailableError:  # the database says so itself
                pass
            except Exception as error:  # a task that ends would be missed for good
                name = type(error).__name__
                self._logger.warning("Attacks cannot be noted", error=name)
            await asyncio.sleep(LOOK_SECONDS)
