"""How many partitions of `attempts` are used, which all gateways must agree on."""

from __future__ import annotations

from typing import Any

import psycopg


def settle_partitions(connection: psycopg.Connection[Any], partitions: int) -> int:
    """Settle this number if none is settled yet; the one that holds."""
    connection.execute(
        "INSERT INTO topology (partitions) VALUES (%s) ON CONFLICT DO NOTHING", (partitions,)
    )
    row = connection.execute("SELECT partitions FROM topology").fetchone()
    assert row is not None
    return int(row[0])
