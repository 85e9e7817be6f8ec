"""A request whose connection broke comes into the log after its answer, and undoes nothing."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from events.messages import Decision, Unblock, Verdict, encode, new_id
from gateway.errors import NotDeliveredError
from gateway.kafka.verdict_client import Destination, MakeRequest
from gateway.kafka.verdict_retry import VerdictRetry
from tests.harness.owner import PARTITION, REPLIES, Owners, put, work, wrong
from tests.integration.test_blocklist_consumer import followed, turn_until


class BrokenConnection:
    """A log that gets a request some time after the gateway has heard that it is cut off."""

    def __init__(self) -> None:
        self.on_its_way = b""

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int = 0,
    ) -> Verdict:
        """Fails at once, as a delivery report without retries does."""
        assert destination.partition == PARTITION
        self.on_its_way = encode(request(new_id(), REPLIES, destination.partitions))
        raise NotDeliveredError("the connection is gone")


def test_a_late_unblocking_gives_no_more_guesses(topics: str, database: str) -> None:
    """503, then the same again elsewhere, then four guesses, then the first one arrives."""
    connection = BrokenConnection()

    async def scenario(owners: Owners) -> None:
        owner = owners.new(database)
        await asyncio.to_thread(owner.claim)
        async with followed(topics, database) as blocklist:
            await turn_until(
                owner,
                lambda: (
                    blocklist.clock.bounds(time.monotonic()) is not None
                    and blocklist.fresh(PARTITION, time.monotonic())
                ),
            )
            with pytest.raises(NotDeliveredError):
                await VerdictRetry(blocklist, connection).ask(
                    "ana",
                    time.monotonic() + 1.0,
                    lambda id_, reply, *rest: Unblock(id_, reply, "ana", *rest),
                )

        def arrive() -> None:
            elsewhere = Unblock(new_id(), REPLIES, "ana", 4)
            guesses = [encode(wrong("ana", 4)) for _ in range(6)]
            put(topics, encode(elsewhere), *guesses[:4], connection.on_its_way, *guesses[4:])
            work(owner, until=1 + 1 + 6 + 1)

        await asyncio.to_thread(arrive)

    with Owners(topics) as owners:
        asyncio.run(scenario(owners))
    with psycopg.connect(database) as tables:
        decisions = tables.execute(
            "SELECT decision FROM audit WHERE username = 'ana' ORDER BY log_offset"
        ).fetchall()
    assert [Decision(decision) for (decision,) in decisions] == [
        Decision.REJECTED,  # there was no block to lift
        *[Decision.REJECTED] * 4,
        Decision.LATE,
        Decision.REJECTED,
        Decision.BLOCKED,
    ]
