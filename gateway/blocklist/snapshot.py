"""The blocklist's start: the blocks and the progress that Postgres has at one moment."""

from __future__ import annotations

import psycopg
from psycopg import Connection, IsolationLevel

from events.positions import Position
from gateway.blocklist.blocklist import BlocklistSnapshot, PartitionFloor
from gateway.blocklist.compact_block_map import CompactBlockMap
from sql.connection import connection_options, require_session

CHUNK = 1000
"""Rows at once, so that a million blocks need no second copy in memory. They are streamed, so that
Postgres makes the next ones ready meanwhile."""


class NoTopologyError(Exception):
    """The number of partitions is not settled yet."""


def load_snapshot(database_url: str) -> BlocklistSnapshot:
    """Load it in one transaction. Raises psycopg.Error and NoTopologyError."""
    with psycopg.connect(database_url, **connection_options("gateway blocklist")) as connection:
        require_session(connection, database_url)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        partitions = _select_partitions(connection)
        progress = _select_progress(connection)
        return BlocklistSnapshot(partitions, progress, _select_blocks(connection))


def load_partitions(database_url: str) -> int:
    """The number of partitions in use. Raises psycopg.Error and NoTopologyError."""
    with psycopg.connect(database_url, **connection_options("gateway blocklist")) as connection:
        return _select_partitions(connection)


def _select_partitions(connection: Connection) -> int:
    row = connection.execute("SELECT partitions FROM topology").fetchone()
    if row is None:
        raise NoTopologyError("The table topology is empty; `python -m events` fills it")
    return int(row[0])


def _select_progress(connection: Connection) -> dict[int, PartitionFloor]:
    rows = connection.execute(
        "SELECT partition, epoch, generation, next_offset FROM partition_progress"
    )
    return {
        partition: PartitionFloor(epoch, Position(generation, next_offset))
        for partition, epoch, generation, next_offset in rows
    }


def _select_blocks(connection: Connection) -> CompactBlockMap:
    # Without those that had ended before the last decision: no clock is asked that may be wrong.
    blocks = CompactBlockMap()
    with connection.cursor() as cursor:
        blocks.add_all(
            cursor.stream(
                """SELECT username, blocked_until_ms, generation, log_offset
                     FROM lock_states
                    WHERE blocked_until_ms > (SELECT coalesce(max(last_ms), 0)
                                                FROM partition_progress)""",
                binary=True,
                size=CHUNK,
            )
        )
    return blocks
