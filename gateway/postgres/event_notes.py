"""What the operator port notes for the relay, which makes events of it."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from gateway.operators import Operator


async def note_operator_login(
    connection: AsyncConnection, operator: Operator, source: str | None
) -> None:
    """An operator has logged in at the console, from this address."""
    await connection.execute(
        "SELECT note_operator_login(%s, %s, %s)", (operator.name, operator.role.value, source)
    )


async def note_attack(connection: AsyncConnection, lasts: bool, what: dict[str, Any]) -> bool:
    """An attack lasts, or does not; False where that was noted before."""
    cursor = await connection.execute("SELECT note_attack(%s, %s)", (lasts, Jsonb(what)))
    row = await cursor.fetchone()
    return bool(row and row[0])
