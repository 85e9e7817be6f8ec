"""Attempts of services, and the keys by which a repeated request is the same attempt.

A service that had no answer sends its request again, perhaps to another gateway. The id of the
attempt is made of its key, so that the log knows the second record for a repetition of the first
(`workers.partition.deduplication`), and the gateway answers with the first one's decision, which
the audit has.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from psycopg import AsyncConnection

from events.messages import Decision, Verdict
from gateway.blocklist.blocklist import Blocklist
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    KeyReusedError,
    UnavailableError,
)
from gateway.kafka.verdict_retry import seconds_until
from gateway.postgres.database import Queries
from gateway.postgres.first_decision import FirstDecision, select_first_decision

RECENT_MS = 60_000
"""So long before now a decision is looked for where nothing says that there is one. The log knows a
key again for half of that at least."""


class ServiceAttempt(NamedTuple):
    """A login whose password a service has checked."""

    user: str
    right: bool
    source: str | None
    user_agent: str | None


Ask = Callable[[], Awaitable[Verdict]]
"""Writes the attempt to the log, and gives its verdict."""


def id_of(service: str, user: str, key: bytes) -> bytes:
    """The 128 bits by which the log knows this service's attempt with this key."""
    parts = (service.encode(), user.encode(), key)
    hashed = hashlib.blake2b(digest_size=16, person=b"cerrojo attempt")
    for part in parts:
        hashed.update(len(part).to_bytes(4) + part)
    return hashed.digest()


class KeyedAttempts:
    """The attempts with keys, of one process."""

    def __init__(
        self, database: Queries, blocklist: Blocklist, clock_ms: Callable[[], int]
    ) -> None:
        """`clock_ms` is what the brokers' clock shows at least."""
        self._database = database
        self._blocklist = blocklist
        self._clock_ms = clock_ms
        self._in_hand: dict[bytes, tuple[ServiceAttempt, asyncio.Task[Verdict]]] = {}
        self._partitions = 0
        self._partitions_since = 0.0

    async def decide(self, id_: bytes, attempt: ServiceAttempt, due: float, ask: Ask) -> Verdict:
        """The verdict on the attempt with this id, by `due`: the first one, if it is repeated.

        Raises KeyReusedError where the id is another attempt's, and what `ask` raises.
        """
        while id_ in self._in_hand:
            known, deciding = self._in_hand[id_]
            if known == attempt:
                return await asyncio.shield(deciding)
            await asyncio.wait((deciding,))  # the log knows which of them was first
        deciding = asyncio.ensure_future(self._decide(id_, attempt, due, ask))
        self._in_hand[id_] = attempt, deciding
        deciding.add_done_callback(lambda _: self._in_hand.pop(id_))
        return await asyncio.shield(deciding)

    async def _decide(self, id_: bytes, attempt: ServiceAttempt, due: float, ask: Ask) -> Verdict:
        recently = self._clock_ms() - RECENT_MS
        # A partition does not know the ids of the one that its accounts had before.
        if self.partitions_are_new() and (
            first := await self._first_verdict(id_, attempt, recently, due)
        ):
            return first
        try:
            verdict = await ask()
        except (BlockedError, BlockedForGoodError):
            # Perhaps by this very attempt, or by what came after it.
            if first := await self._first_verdict(id_, attempt, recently, due):
                return first
            raise
        if verdict.decision == Decision.REPEATED or _contradicts(verdict, attempt):
            first = await self._first_verdict(id_, attempt, 0, due)
            if first is None:
                raise UnavailableError("What was decided first is not known; try again later")
            return first
        return verdict

    async def _first_verdict(
        self, id_: bytes, attempt: ServiceAttempt, from_ms: int, due: float
    ) -> Verdict | None:
        async def query(connection: AsyncConnection) -> FirstDecision | None:
            return await select_first_decision(connection, attempt.user, id_, from_ms)

        row = await self._database.run(query, seconds_until(due))
        if row is None:
            return None
        if (row.right_password, row.source, row.user_agent) != attempt[1:]:
            raise _reused()
        return Verdict(id_, attempt.user, Decision(row.decision), row.until_ms)

    def partitions_are_new(self) -> bool:
        """Whether this process has known the partitions in use for less than a minute.

        To be called now and then, so that the minute begins when they change.
        """
        now = time.monotonic()
        if self._blocklist.partitions != self._partitions:
            self._partitions, self._partitions_since = self._blocklist.partitions, now
        return now - self._partitions_since < RECENT_MS / 1000


def _contradicts(verdict: Verdict, attempt: ServiceAttempt) -> bool:
    """Whether this must be the verdict on an attempt with the same id and another outcome.

    Processes that share a reply partition hear each other's verdicts.
    """
    contrary = Decision.REJECTED if attempt.right else Decision.ACCEPTED
    return verdict.decision == contrary


def _reused() -> KeyReusedError:
    return KeyReusedError("This Idempotency-Key was used for another attempt; use a new one")
