"""Argon2id in a bounded number of threads; the only expensive thing in a login."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gateway import metrics
from gateway.admission import Admission
from settings import Settings

T = TypeVar("T")


NICE = 5
"""How much a hash's thread steps back, as nice(1) has it."""


class BadHashError(Exception):
    """A stored hash is none; somebody else wrote it."""


class Hasher:
    """Makes hashes by the settings, and checks those that were made by any."""

    def __init__(self, settings: Settings) -> None:
        self._argon2 = PasswordHasher(
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
        )
        threads = settings.hash_threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=_be_nice)
        self.turns = Admission(
            per_user=max(1, threads - 1),
            in_all=threads,
            waiting_per_user=settings.checks_in_flight,
            waiting=settings.checks_in_flight,
        )
        """Who makes or checks a hash has one of these, so that nobody waits for a thread.

        One account's requests never have all threads, if there are several.
        """
        self._nobodys = self._argon2.hash(os.urandom(16))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is this one. Raises BadHashError.

        Costs the same where there is no account (None), unless the stored one is outdated.
        """
        return await self._run(lambda: self._verify(stored or self._nobodys, password))

    async def hash(self, password: str) -> str:
        """A new hash of this password."""
        return await self._run(lambda: self._argon2.hash(password))

    def is_outdated(self, stored: str) -> bool:
        """Whether the settings are other ones now than when this hash was made."""
        return self._argon2.check_needs_rehash(stored)

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


def _be_nice() -> None:
    """Let everything else in a login go first: it is short, and there are many steps of it."""
    if sys.platform == "linux":  # elsewhere this is the niceness of the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _timed(work: Callable[[], T]) -> T:
    started = time.monotonic()
    try:
        return work()
    finally:
        metrics.HASH_SECONDS.observe(time.monotonic() - started)
