"""The accounts: one query, one function."""

from __future__ import annotations

from psycopg import AsyncConnection


async def select_password_hash(connection: AsyncConnection, user: str) -> str | None:
    """The hash of this account's password; None where there is no such account."""
    cursor = await connection.execute(
        "SELECT password_hash FROM accounts WHERE username = %s", (user,)
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def insert_account(connection: AsyncConnection, user: str, password_hash: str) -> bool:
    """Make the account; False where there is one already."""
    cursor = await connection.execute(
        """INSERT INTO accounts (username, password_hash)
                VALUES (%s, %s)
           ON CONFLICT DO NOTHING""",
        (user, password_hash),
    )
    return cursor.rowcount == 1
