"""How many partitions of `attempts` are used, which all gateways must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

COMMAND_LOCK = 0x72657369
"""Any number, the same everywhere."""


def settled_partitions(connection: psycopg.Connection[Any]) -> int | None:
    """The number that is settled, if there is one."""
    row = connection.execute("SELECT partitions FROM topology").fetchone()
    return None if row is None else int(row[0])


def settle_partitions(connection: psycopg.Connection[Any], partitions: int) -> int:
    """Settle this number if none is settled yet; the one that holds."""
    connection.execute(
        "INSERT INTO topology (partitions) VALUES (%s) ON CONFLICT DO NOTHING", (partitions,)
    )
    settled = settled_partitions(connection)
    assert settled is not None
    return settled


@contextmanager
def only_command(connection: psycopg.Connection[Any]) -> Iterator[bool]:
    """Whether nobody else changes the policy or the partitions, and nobody can meanwhile.

    The lock goes with its connection, so a killed command leaves nothing locked.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (COMMAND_LOCK,)).fetchone()
    assert row is not None
    try:
        yield bool(row[0])
    finally:
        if row[0]:
            connection.execute("SELECT pg_advisory_unlock(%s)", (COMMAND_LOCK,))
