"""The accounts: one query, one function."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import AsyncConnection


async def select_password_hashes(
    connection: AsyncConnection, users: Sequence[str]
) -> dict[str, str]:
    """The hashes of the passwords of those among these that have an account."""
    cursor = await connection.execute(
        "SELECT username, password_hash FROM accounts WHERE username = ANY(%s)", (users,)
    )
    return dict(await cursor.fetchall())


async def insert_account(connection: AsyncConnection, user: str, password_hash: str) -> bool:
    """Make the account; False where there is one already."""
    cursor = await connection.execute(
        """INSERT INTO accounts (username, password_hash)
                VALUES (%s, %s)
           ON CONFLICT DO NOTHING""",
        (user, password_hash),
    )
    return cursor.rowcount == 1


async def replace_password_hash(connection: AsyncConnection, user: str, old: str, new: str) -> None:
    """Keep another hash of the same password, unless there is a third one by now."""
    await connection.execute(
        "UPDATE accounts SET password_hash = %s WHERE username = %s AND password_hash = %s",
        (new, user, old),
    )
