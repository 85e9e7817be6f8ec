"""The tokens of operators: the operator port looks them up, commands write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection, Connection
from psycopg.rows import class_row

from gateway.operators import Operator, Role

_VALID = "revoked_at IS NULL AND expires_at > now()"


class OperatorToken(NamedTuple):
    """What is kept of a token."""

    name: str
    role: str
    expires_at: datetime
    revoked_at: datetime | None
    valid: bool
    """Whether it lets somebody in now."""


async def select_operator(connection: AsyncConnection, digest: bytes) -> Operator | None:
    """Whose valid token has this digest."""
    cursor = await connection.execute(
        f"SELECT name, role FROM operator_tokens WHERE digest = %s AND {_VALID}",
        (digest,),
    )
    row = await cursor.fetchone()
    return Operator(row[0], Role(row[1])) if row else None


async def has_operators(connection: AsyncConnection) -> bool:
    """Whether anybody has a valid token."""
    cursor = await connection.execute(f"SELECT EXISTS (SELECT FROM operator_tokens WHERE {_VALID})")
    row = await cursor.fetchone()
    return bool(row and row[0])


def list_tokens(connection: Connection[Any]) -> list[OperatorToken]:
    """All of them, by name."""
    with connection.cursor(row_factory=class_row(OperatorToken)) as cursor:
        return cursor.execute(
            f"SELECT name, role, expires_at, revoked_at, {_VALID} AS valid"
            "  FROM operator_tokens ORDER BY name"
        ).fetchall()


def add_token(
    connection: Connection[Any],
    name: str,
    role: Role,
    digest: bytes,
    days: int,
    replace: bool = False,
) -> bool:
    """Keep a token for so many days; whether it was done.

    It takes the place of one of the same name that is revoked or has expired, and with `replace` of
    any.
    """
    cursor = connection.execute(
        "INSERT INTO operator_tokens AS known (name, role, digest, expires_at)"
        " VALUES (%s, %s, %s, now() + make_interval(days => %s))"
        " ON CONFLICT (name) DO UPDATE SET role = excluded.role, digest = excluded.digest,"
        "    made_at = excluded.made_at, expires_at = excluded.expires_at, revoked_at = NULL"
        " WHERE %s OR NOT (known.revoked_at IS NULL AND known.expires_at > now())",
        (name, role.value, digest, days, replace),
    )
    return cursor.rowcount == 1


def revoke_token(connection: Connection[Any], name: str) -> bool:
    """Let a token in no more; whether there is one of this name."""
    cursor = connection.execute(
        "UPDATE operator_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE name = %s",
        (name,),
    )
    return cursor.rowcount == 1
