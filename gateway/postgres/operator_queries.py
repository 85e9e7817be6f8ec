"""The operators' queries: one query, one function. Times are milliseconds since 1970."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

_AT = "coalesce(%s, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
"""A moment; the present one by Postgres' clock where it is None."""


class BlockRow(NamedTuple):
    """An account's block."""

    username: str
    blocked_since_ms: int
    blocked_until_ms: int
    blocked_why: str
    consecutive_failures: int
    level: int
    by_hand: bool


BlockPlace = tuple[int, str]
"""Where a page of blocks ends: since when, in milliseconds, and the account."""


class WantedBlocks(NamedTuple):
    """Which blocks to give; an empty text is in each."""

    text: str
    """In the name."""
    reason: str
    """In the reason, in small letters."""
    since_ms: int
    """They began then or later."""


DecisionPlace = tuple[int, int, int, int]
"""Where a page of decisions ends: append time, generation, offset, partition."""


class WantedDecisions(NamedTuple):
    """Which decisions to give; None is any."""

    user: str | None
    source: str | None
    decision: int | None
    from_ms: int
    to_ms: int
    """The first millisecond after them."""
    operator: str | None = None
    """Who asked for them; empty: any operator."""

    @property
    def by_index(self) -> bool:
        """Whether the audit has a fine index for them, and not only for their time."""
        return self.user is not None or self.operator is not None


class DecisionRow(NamedTuple):
    """A decision of the log, as it is kept."""

    appended_ms: int
    partition: int
    generation: int
    log_offset: int
    kind: str
    username: str
    right_password: bool | None
    decision: int
    policy_version: int
    source: str | None
    user_agent: str | None
    id: bytes
    delayed_ms: int
    device: bytes | None
    operator: str | None
    reason: str | None

    @property
    def place(self) -> DecisionPlace:
        """Where a page ends that has this one last."""
        return self.appended_ms, self.generation, self.log_offset, self.partition


async def select_blocked(
    connection: AsyncConnection, after: str, limit: int, at_ms: int | None
) -> list[str]:
    """The accounts that are blocked at this moment, by name; None: now, by Postgres' clock."""
    cursor = await connection.execute(
        f"""SELECT username
             FROM lock_states
            WHERE blocked_until_ms > {_AT} AND username > %s
            ORDER BY username
            LIMIT %s""",
        (at_ms, after, limit),
    )
    return [username for (username,) in await cursor.fetchall()]


async def select_block(
    connection: AsyncConnection, user: str, at_ms: int | None
) -> BlockRow | None:
    """This account's block, if it is blocked at this moment; None: now, by Postgres' clock."""
    async with connection.cursor(row_factory=class_row(BlockRow)) as cursor:
        await cursor.execute(
            f"""SELECT username, blocked_since_ms, blocked_until_ms, blocked_why,
                      in_a_row AS consecutive_failures, blocks AS level,
                      blocked_by_hand AS by_hand
                 FROM lock_states
                WHERE username = %s AND blocked_until_ms > {_AT}""",
            (user, at_ms),
        )
        return await cursor.fetchone()


async def select_newest_blocks(
    connection: AsyncConnection,
    wanted: WantedBlocks,
    after: BlockPlace | None,
    limit: int,
    at_ms: int | None,
    most: int,
) -> tuple[list[BlockRow], BlockPlace | None]:
    """So many blocks at this moment, newest first, and where to go on; None: there are no more.

    No more than ``most`` are looked at, so the page may have fewer and yet not be the last one.
    """
    after_ms, name = after or (_LAST_MS, "")
    async with connection.cursor() as cursor:
        # The last row that may be looked at comes in any case: the next page begins behind it.
        await cursor.execute(
            f"""SELECT username, blocked_since_ms, blocked_until_ms, blocked_why, in_a_row, blocks,
                      blocked_by_hand, wanted, n
                 FROM (SELECT username, blocked_since_ms, blocked_until_ms, blocked_why, in_a_row,
                              blocks, blocked_by_hand, row_number() OVER newest AS n,
                              blocked_until_ms > {_AT} AND strpos(username, %s) > 0
                              AND strpos(lower(blocked_why), %s) > 0 AS wanted
                         FROM lock_states
                        WHERE blocked_until_ms IS NOT NULL AND blocked_since_ms >= %s
                          AND (blocked_since_ms, username) < (%s, %s)
                       WINDOW newest AS (ORDER BY blocked_since_ms DESC, username DESC)
                        LIMIT %s) AS seen
                WHERE wanted OR n = %s
                ORDER BY blocked_since_ms DESC, username DESC
                LIMIT %s""",
            (at_ms, *wanted, after_ms, name, most, most, limit + 1),
        )
        found = await cursor.fetchall()
    rows = [BlockRow(*row[:-2]) for row in found if row[-2]]
    if len(rows) > limit:
        rows = rows[:limit]
        return rows, (rows[-1].blocked_since_ms, rows[-1].username)
    if found and found[-1][-1] == most:
        return rows, (found[-1][1], found[-1][0])
    return rows, None


_LAST_MS = 2**63 - 1


async def select_decision_rows(
    connection: AsyncConnection,
    wanted: WantedDecisions,
    after: DecisionPlace | None,
    limit: int,
    oldest_first: bool = False,
) -> list[DecisionRow]:
    """Decisions after this place, newest first or oldest first."""
    conditions = ["appended_ms >= %s", "appended_ms < %s"]
    values: list[object] = [wanted.from_ms, wanted.to_ms]
    for column, value in zip(("username", "source", "decision"), wanted[:3], strict=True):
        if value is not None:
            conditions.append(f"{column} = %s")
            values.append(value)
    if wanted.operator is not None:
        conditions.append("operator IS NOT NULL AND %s IN ('', operator)")
        values.append(wanted.operator)
    order, sign = ("ASC", ">") if oldest_first else ("DESC", "<")
    if after is not None:
        conditions.append(
            f"(appended_ms, generation, log_offset, partition) {sign} (%s, %s, %s, %s)"
        )
        values.extend(after)
    async with connection.cursor(row_factory=class_row(DecisionRow)) as cursor:
        await cursor.execute(
            f"""SELECT appended_ms, partition, generation, log_offset, kind, username,
                      right_password, decision, policy_version, source, user_agent, id,
                      delayed_ms, device, operator, reason
                 FROM audit
                WHERE {" AND ".join(conditions)}
                ORDER BY appended_ms {order}, generation {order}, log_offset {order},
                      partition {order}
                LIMIT %s""",
            (*values, limit),
        )
        return await cursor.fetchall()
