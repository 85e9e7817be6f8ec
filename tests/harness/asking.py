"""A gateway's clients of Kafka and an owner of a partition, in one process: attempts go through."""

from __future__ import annotations

import asyncio

from events.messages import Attempt, Decision
from gateway.kafka.verdict_client import Destination, VerdictClient
from settings import Settings
from tests.harness.owner import PARTITION, PATIENCE_SECONDS, Owners


def decisions(config: Settings, user: str, count: int) -> list[Decision]:
    """The decisions about so many wrong passwords, one after the other."""
    return asyncio.run(_decisions(config, user, count))


async def _decisions(config: Settings, user: str, count: int) -> list[Decision]:
    client = VerdictClient(config)
    client.start()
    done = asyncio.Event()
    with Owners(config) as owners:
        owner = owners.new(config.require_database())

        async def own() -> None:
            await asyncio.to_thread(owner.claim)
            while not done.is_set():
                assert await asyncio.to_thread(owner.run_once)

        async def ask() -> Decision:
            verdict = await client.ask(
                user,
                Destination(PARTITION, 4),
                PATIENCE_SECONDS,
                lambda id_, reply, partitions: Attempt(
                    id_, reply, user, False, partitions, lists=True
                ),
            )
            return verdict.decision

        owning = asyncio.create_task(own())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.ready
                return [await ask() for _ in range(count)]
        finally:
            done.set()
            await client.close()
            await owning
