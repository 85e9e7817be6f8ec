"""The decision on an attempt whose record is in the log more than once."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row


class FirstDecision(NamedTuple):
    """The attempt as it was decided. Times are milliseconds since 1970."""

    right_password: bool
    source: str | None
    user_agent: str | None
    decision: int
    until_ms: int


async def select_first_decision(
    connection: AsyncConnection, user: str, id_: bytes, from_ms: int
) -> FirstDecision | None:
    """The last time that an attempt of this account with this id was decided and no repetition.

    Of those that came into the log at this moment or later; None where there is none.
    """
    async with connection.cursor(row_factory=class_row(FirstDecision)) as cursor:
        await cursor.execute(
            """SELECT right_password, source, user_agent, decision, until_ms
                 FROM first_decision(%s, %s, %s)""",
            (user, id_, from_ms),
        )
        return await cursor.fetchone()
