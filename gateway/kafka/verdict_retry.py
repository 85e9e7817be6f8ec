"""Asks the log where an account is decided, until it is decided."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from events.messages import Attempt, Decision, Request, Verdict
from events.partitioner import partition_of
from gateway.blocklist.blocklist import READING_SECONDS, Blocklist
from gateway.errors import (
    NoPartitionError,
    NotDeliveredError,
    OverloadedError,
    UnavailableError,
)
from gateway.kafka.verdict_client import Destination, MakeRequest

LOOK_SECONDS = 0.05  # between looks whether this process knows the new partitions


MakeExpiring = Callable[[bytes, int, int, int], Request]
"""Makes a request as :data:`MakeRequest` does, from one more number: the last moment for it."""


class VerdictSource(Protocol):
    """Writes a request and waits for its verdict, as `verdict_client.VerdictClient` does."""

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int,
    ) -> Verdict: ...


class VerdictRetry:
    """Asks the log where an account is decided, again if that changes meanwhile."""

    def __init__(self, blocklist: Blocklist, verdict_client: VerdictSource) -> None:
        self._blocklist = blocklist
        self._verdict_client = verdict_client

    async def reach(self, user: str, due: float) -> Destination:
        """Where this account is decided; UnavailableError where no worker is known to live.

        A process that stood still itself reads first what came meanwhile, as long as there is time:
        its old heartbeats would say of a worker that lives that it is dead.
        """
        until = None
        while True:
            try:
                return self._destination(user)
            except UnavailableError:
                now = time.monotonic()
                until = until or min(due, now + READING_SECONDS)
                if now >= until or not self._blocklist.stood_still(now):
                    raise
                await asyncio.sleep(min(LOOK_SECONDS, until - now))

    def _destination(self, user: str) -> Destination:
        partitions = self._blocklist.partitions
        if not partitions:
            raise UnavailableError("This gateway is still loading; try again later")
        destination = Destination(partition_of(user, partitions), partitions)
        if not self._blocklist.fresh(destination.partition, time.monotonic()):
            raise UnavailableError("Nobody can decide about this account now; try again later")
        return destination

    def _now_ms(self) -> int:
        return self._blocklist.clock.earliest_ms(time.monotonic()) or 0

    async def ask(self, user: str, due: float, request: MakeExpiring) -> Verdict:
        """The verdict on a request; UnavailableError where there is none by `due`.

        While the partitions become more, it may take two requests until one is decided: the log
        does not decide a request that was written to the account's former partition, and says so.

        The request expires when the brokers' clock may show `due`: its sender is told then that
        nothing was granted, and may ask again. A request that clears an account is never given up
        before: the log may take it as long as it has not expired, and would undo what came since
        the answer. An attempt is given up as soon as Kafka reports a failure. A right password
        that is in the log all the same clears no more than its owner's next login does, and if its
        answer alone took until `due`, the time would tell right passwords from wrong ones, none of
        which would count.
        """
        expires_ms = self._blocklist.clock.earliest_ms(due)
        if expires_ms is None:
            raise UnavailableError("This gateway is still loading; try again later")
        clears = False

        def make(id_: bytes, reply_partition: int, partitions: int) -> Request:
            nonlocal clears
            made = request(id_, reply_partition, partitions, expires_ms)
            clears = not isinstance(made, Attempt)
            return made

        destination = await self.reach(user, due)
        while True:
            try:
                verdict = await self._verdict_client.ask(
                    user, destination, seconds_until(due), make, self._now_ms()
                )
            except NotDeliveredError:
                if clears:
                    await asyncio.sleep(due - time.monotonic())
                raise
            except NoPartitionError:
                await asyncio.sleep(LOOK_SECONDS)  # this process's producer has not heard of it yet
                continue
            if verdict.decision == Decision.LATE:
                raise UnavailableError("The log took it too late; try again later")
            if verdict.decision != Decision.MOVED:
                return verdict
            while self._blocklist.partitions <= destination.partitions:
                seconds = seconds_until(due)
                await asyncio.sleep(min(LOOK_SECONDS, seconds))
            destination = self._destination(user)


def seconds_until(due: float) -> float:
    """Seconds until `due` on the monotonic clock; OverloadedError where it is past."""
    seconds = due - time.monotonic()
    if seconds <= 0:
        raise OverloadedError("It took too long; try again later")
    return seconds
