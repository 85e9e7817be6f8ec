"""The accounts: one query, one function. They are written by functions of the database's owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import class_row

GOOD_SECONDS = 0.5
"""What was read of an account may be relied on so long after the reading began. Whoever gives one
another version says so that much later than the commit: no login relies on the former one then."""


class Account(NamedTuple):
    """What a login needs to know of an account."""

    password_hash: str
    version: int
    """Another one after each change of the password, and after disabling or enabling."""
    disabled: bool


async def select_accounts(connection: AsyncConnection, users: Sequence[str]) -> dict[str, Account]:
    """The accounts of those of these users that have one."""
    cursor = await connection.execute(
        """SELECT username, password_hash, version, disabled
             FROM accounts
            WHERE username = ANY(%s)""",
        (users,),
    )
    return {user: Account(*columns) for user, *columns in await cursor.fetchall()}


async def insert_account(connection: AsyncConnection, user: str, password_hash: str) -> bool:
    """Make the account; False where there is one already."""
    cursor = await connection.execute("SELECT make_account(%s, %s)", (user, password_hash))
    return bool(await _value(cursor))


class KnownAccount(NamedTuple):
    """What operators may know of an account."""

    registered_ms: int
    """Milliseconds since 1970."""
    version: int
    disabled: bool


async def select_account(connection: AsyncConnection, user: str) -> KnownAccount | None:
    """What is known of this account; None where there is none."""
    async with connection.cursor(row_factory=class_row(KnownAccount)) as cursor:
        await cursor.execute(
            """SELECT (extract(epoch FROM registered_at) * 1000)::bigint AS registered_ms, version,
                      disabled
                 FROM accounts
                WHERE username = %s""",
            (user,),
        )
        return await cursor.fetchone()


async def change_password_hash(
    connection: AsyncConnection, user: str, password_hash: str, version: int | None
) -> int | None:
    """Store the hash of a new password; the account's new version.

    None where there is no account of this version, where None stands for any.
    """
    cursor = await connection.execute(
        "SELECT change_password(%s, %s, %s)", (user, password_hash, version)
    )
    changed: int | None = await _value(cursor)
    return changed


async def change_version(connection: AsyncConnection, user: str) -> bool:
    """Give an account another version and leave it as it is; False where there is none."""
    return bool(await _value(await connection.execute("SELECT change_version(%s)", (user,))))


async def change_disabled(connection: AsyncConnection, user: str, disabled: bool) -> bool:
    """Disable or enable an account; False where there is none."""
    cursor = await connection.execute("SELECT change_disabled(%s, %s)", (user, disabled))
    return bool(await _value(cursor))


async def replace_password_hash(connection: AsyncConnection, user: str, old: str, new: str) -> None:
    """Store another hash of the same password, unless the stored one has changed."""
    await connection.execute("SELECT renew_hash(%s, %s, %s)", (user, old, new))


async def _value(cursor: AsyncCursor[Any]) -> Any:
    """What a function gave."""
    row = await cursor.fetchone()
    assert row is not None
    return row[0]
