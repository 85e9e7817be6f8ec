"""The gateway's calls to a real Postgres."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest

from gateway.errors import UnavailableError
from gateway.postgres.accounts import insert_account, select_accounts
from gateway.postgres.database import Database
from gateway.services import Services
from gateway.web.operator_app import operator_app
from settings import Settings


def test_a_read_only_postgres_is_unavailable_for_writes(database: str):
    """It was the primary until a moment ago; the queries that it can answer reach it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only"
            " TO on', current_database()); END $$"
        )

    async def scenario() -> None:
        calls = Database(Settings(database_url=database))
        await calls.open()
        try:
            found = await calls.run(lambda c: select_accounts(c, ["ana"]), 10.0)
            assert found == {}
            with pytest.raises(UnavailableError):
                await calls.run(lambda c: insert_account(c, "ana", "a hash"), 10.0)
        finally:
            await calls.close()

    asyncio.run(scenario())


HOUR_MS = 3_600_000


def listed(database: str, ahead_ms: int | None) -> tuple[list[str], list[int]]:
    """`GET /blocked` with the brokers' clock so far ahead of the host's, and of each of these."""

    async def scenario() -> tuple[list[str], list[int]]:
        services = Services(Settings(database_url=database, kafka_bootstrap_servers="127.0.0.1:9"))
        if ahead_ms is not None:
            now = time.monotonic()
            services.blocklist.clock.learn(now, now, int(time.time() * 1000) + ahead_ms)
        await services.database.open()
        client = operator_app(services).test_client()
        try:
            local: dict[str, Any] = {
                "headers": {"Host": "localhost"},
                "scope_base": {"client": ("127.0.0.1", 4711)},
            }
            answer = await client.get("/blocked", **local)
            single = [
                (await client.get(f"/blocked/{user}", **local)).status_code
                for user in ("half", "two")
            ]
            return (await answer.get_json())["users-blocked"], single
        finally:
            await services.database.close()  # nothing else was started

    return asyncio.run(scenario())


@pytest.fixture
def blocks(database: str) -> str:
    """A database with a block that ends in half an hour, and one that ends in two."""
    with psycopg.connect(database) as connection:
        for user, length_ms in (("half", HOUR_MS // 2), ("two", 2 * HOUR_MS)):
            connection.execute(
                "INSERT INTO lock_states VALUES (%s, '{}', 5, 1, 0,"
                " extract(epoch FROM now()) * 1000 + %s, 'why', 0, 2, 1, 0, 0)",
                (user, length_ms),
            )
    return database


def test_blocks_are_listed_by_the_brokers_clock(blocks: str):
    """However far the host's is off: ahead, it would hide blocks that the log still refuses."""
    assert listed(blocks, HOUR_MS) == (["two"], [404, 200])
    assert listed(blocks, -HOUR_MS) == (["half", "two"], [200, 200])


def test_without_the_brokers_clock_blocks_are_listed_by_that_of_postgres(
    blocks: str, monkeypatch: pytest.MonkeyPatch
):
    """A gateway that began while Kafka was away, on a host whose clock is ahead."""
    ahead = time.time() + HOUR_MS / 1000
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert listed(blocks, None) == (["half", "two"], [200, 200])
