"""Argon2id in a bounded number of threads; the only expensive thing in a login."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gateway import metrics
from gateway.admission import Admission
from settings import Settings

T = TypeVar("T")


class BadHashError(Exception):
    """A stored hash is none; somebody else wrote it."""


class Hasher:
    """Makes and checks hashes. A hash keeps its own parameters, new ones get the settings'."""

    def __init__(self, settings: Settings) -> None:
        self._argon2 = PasswordHasher(
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
        )
        threads = settings.hash_threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        # One account's requests never have all threads, if there are several. Those who wait
        # for one have been admitted, which bounds their number.
        self._turns = Admission(
            per_user=max(1, threads - 1),
            in_all=threads,
            waiting_per_user=settings.checks_in_flight,
            waiting=settings.checks_in_flight,
        )
        self._nobodys = self._argon2.hash(os.urandom(16))

    @property
    def waiting(self) -> int:
        """How many wait for a thread."""
        return self._turns.waiting

    def thread(
        self, user: str, seconds: float, gone: asyncio.Future[None]
    ) -> AbstractAsyncContextManager[None]:
        """Run the body, which makes or checks one hash, when it has a thread to do it in.

        Users take turns. Raises as :meth:`Admission.turn` does.
        """
        return self._turns.turn(user, seconds, gone)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is this one. Costs the same where there is no account (None).

        Raises BadHashError.
        """
        return await self._run(lambda: self._verify(stored or self._nobodys, password))

    async def hash(self, password: str) -> str:
        """A new hash of this password."""
        return await self._run(lambda: self._argon2.hash(password))

    def close(self) -> None:
        """Start nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        metrics.HASHES_IN_FLIGHT.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _timed, work)
        finally:
            metrics.HASHES_IN_FLIGHT.dec()

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError) as error:
            raise BadHashError(str(error)) from None


def _timed(work: Callable[[], T]) -> T:
    started = time.monotonic()
    try:
        return work()
    finally:
        metrics.HASH_SECONDS.observe(time.monotonic() - started)
