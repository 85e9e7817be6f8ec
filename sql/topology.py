"""The number of used partitions of `attempts`, on which all gateways must agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

COMMAND_LOCK = 0x72657369
"""The key of the advisory lock: any number, the same everywhere."""


def settled_partitions(connection: psycopg.Connection[Any]) -> int | None:
    """The number of used partitions; None if none is set yet."""
    row = connection.execute("SELECT partitions FROM topology").fetchone()
    return None if row is None else int(row[0])


def settle_partitions(connection: psycopg.Connection[Any], partitions: int) -> int:
    """Set the number of used partitions if none is set yet; the number in force."""
    connection.execute(
        "INSERT INTO topology (partitions) VALUES (%s) ON CONFLICT DO NOTHING", (partitions,)
    )
    settled = settled_partitions(connection)
    assert settled is not None
    return settled


@contextmanager
def exclusive_command(connection: psycopg.Connection[Any]) -> Iterator[bool]:
    """Lock out other commands that change the policy or the partitions; False if one is running.

    The lock ends with its connection, so a killed command leaves nothing locked.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (COMMAND_LOCK,)).fetchone()
    assert row is not None
    try:
        yield bool(row[0])
    finally:
        if row[0]:
            # Where the connection is gone, so is the lock; the command may have done its work.
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", (COMMAND_LOCK,))
