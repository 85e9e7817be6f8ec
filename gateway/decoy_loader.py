"""Keeps the choice of decoys up to date with the accounts."""

from __future__ import annotations

import asyncio

from psycopg import AsyncConnection

from gateway.errors import UnavailableError
from gateway.passwords.decoys import Decoys
from gateway.postgres.database import Queries
from gateway.postgres.password_forms import (
    select_decoy_key,
    select_password_forms,
    settle_password_forms,
)
from gateway.rate_limited_logger import RateLimitedLogger

LOAD_SECONDS = 10.0
"""Between looks; so long an import's accounts may differ from unknown names in their time."""

RETRY_SECONDS = 1.0


class DecoyLoader:
    """The decoys of unknown names. Made inside the event loop."""

    def __init__(self, database: Queries, present: str, deadline_seconds: float) -> None:
        """`present` is the form of new hashes."""
        self._database = database
        self._present = present
        self._deadline_seconds = deadline_seconds
        self._decoys: Decoys | None = None
        self._loaded = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._logger = RateLimitedLogger()

    def start(self) -> None:
        """Begin to load; returns at once."""
        self._loading = asyncio.ensure_future(self._keep_loading())

    async def loaded(self) -> None:
        """Return once any decoy is known."""
        await self._loaded.wait()

    def of(self, user: str) -> str | None:
        """The stored hash that this unknown name seems to have; None: as new accounts have.

        Raises UnavailableError where that is not known yet.
        """
        if self._decoys is None:
            raise UnavailableError("The gateway has just started; try again later")
        return self._decoys.of(user)

    async def close(self) -> None:
        """Load no more."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait((self._loading,))

    async def _keep_loading(self) -> None:
        while True:
            try:
                self._decoys = await self._load()
                self._loaded.set()
                await asyncio.sleep(LOAD_SECONDS)
            except UnavailableError:  # the database says so itself
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # a task that ends would be missed for good
                name = type(error).__name__
                self._logger.warning("The decoys cannot be loaded", error=name)
                await asyncio.sleep(RETRY_SECONDS)

    async def _load(self) -> Decoys:
        async def query(connection: AsyncConnection) -> Decoys:
            key = await select_decoy_key(connection)
            decoys = Decoys(key, await select_password_forms(connection), self._present)
            if decoys.outgrown:
                await settle_password_forms(connection)
                decoys = Decoys(key, await select_password_forms(connection), self._present)
            return decoys

        return await self._database.run(query, self._deadline_seconds)
