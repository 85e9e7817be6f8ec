"""What operators ask Postgres: one query, one function. Times are milliseconds since 1970."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row


class BlockRow(NamedTuple):
    """An account's block."""

    username: str
    blocked_since_ms: int
    blocked_until_ms: int
    blocked_why: str
    in_a_row: int


class DecisionRow(NamedTuple):
    """A decision of the log."""

    appended_ms: int
    partition: int
    generation: int
    log_offset: int
    kind: str
    right_password: bool | None
    decision: int
    policy_version: int


async def select_blocked(
    connection: AsyncConnection, after: str, limit: int, now_ms: int
) -> list[str]:
    """The accounts that are blocked now, in the order of the primary key."""
    cursor = await connection.execute(
        """SELECT username
             FROM lock_states
            WHERE blocked_until_ms > %s AND username > %s
            ORDER BY username
            LIMIT %s""",
        (now_ms, after, limit),
    )
    return [username for (username,) in await cursor.fetchall()]


async def select_block(connection: AsyncConnection, user: str, now_ms: int) -> BlockRow | None:
    """This account's block, if it is blocked now."""
    async with connection.cursor(row_factory=class_row(BlockRow)) as cursor:
        await cursor.execute(
            """SELECT username, blocked_since_ms, blocked_until_ms, blocked_why, in_a_row
                 FROM lock_states
                WHERE username = %s AND blocked_until_ms > %s""",
            (user, now_ms),
        )
        return await cursor.fetchone()


async def select_decisions(connection: AsyncConnection, user: str, limit: int) -> list[DecisionRow]:
    """What was decided about this account, the newest first."""
    async with connection.cursor(row_factory=class_row(DecisionRow)) as cursor:
        await cursor.execute(
            """SELECT appended_ms, partition, generation, log_offset, kind, right_password,
                      decision, policy_version
                 FROM audit
                WHERE username = %s
                ORDER BY appended_ms DESC, generation DESC, log_offset DESC
                LIMIT %s""",
            (user, limit),
        )
        return await cursor.fetchall()
