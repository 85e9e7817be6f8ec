"""The forms of the accounts' password hashes: one query, one function."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row


class PasswordForm(NamedTuple):
    """A form, and how many accounts have it."""

    form: str
    accounts: int
    settled: float
    """The share of the accounts by which it was last settled which names may have it."""


async def select_decoy_key(connection: AsyncConnection) -> bytes:
    """The secret of this system, the same for all gateways."""
    cursor = await connection.execute("SELECT key FROM decoy_key")
    row = await cursor.fetchone()
    assert row is not None
    return bytes(row[0])


async def select_password_forms(connection: AsyncConnection) -> list[PasswordForm]:
    """All of them."""
    async with connection.cursor(row_factory=class_row(PasswordForm)) as cursor:
        await cursor.execute("SELECT form, accounts, settled FROM password_forms")
        return await cursor.fetchall()


async def settle_password_forms(connection: AsyncConnection) -> None:
    """Settle by their present shares which names may have them."""
    await connection.execute(
        "UPDATE password_forms SET settled ="
        " accounts::float8 / greatest(1, (SELECT sum(accounts) FROM password_forms))"
    )
