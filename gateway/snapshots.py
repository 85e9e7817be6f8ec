"""What the view starts from: the blocks and the progress that Postgres has at one moment."""

from __future__ import annotations

import psycopg
from psycopg import Connection, IsolationLevel

from events.positions import Position
from gateway.blocks import Block, Blocks
from gateway.database import connection_arguments
from gateway.view import Progress, Snapshot

CHUNK = 10_000  # rows at once, so that a million blocks need no second copy in memory


class NoTopologyError(Exception):
    """Nobody has said yet how many partitions there are."""


def load_snapshot(database_url: str, now_ms: int) -> Snapshot:
    """Load it in one transaction. Raises psycopg.Error and NoTopologyError."""
    with psycopg.connect(database_url, **connection_arguments("gateway news")) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        partitions = _select_partitions(connection)
        progress = _select_progress(connection)
        return Snapshot(partitions, progress, _select_blocks(connection, now_ms))


def _select_partitions(connection: Connection) -> int:
    row = connection.execute("SELECT partitions FROM topology").fetchone()
    if row is None:
        raise NoTopologyError("The table topology is empty; `python -m events` fills it")
    return int(row[0])


def _select_progress(connection: Connection) -> dict[int, Progress]:
    rows = connection.execute(
        "SELECT partition, epoch, generation, next_offset FROM partition_progress"
    )
    return {
        partition: Progress(epoch, Position(generation, next_offset))
        for partition, epoch, generation, next_offset in rows
    }


def _select_blocks(connection: Connection, now_ms: int) -> Blocks:
    blocks = Blocks()
    with connection.cursor("blocks") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(
            """SELECT username, generation, log_offset, blocked_until_ms
                 FROM lock_states
                WHERE blocked_until_ms > %s""",
            (now_ms,),
            binary=True,
        )
        for user, generation, offset, until_ms in cursor:
            blocks.add(user, Block(Position(generation, offset), until_ms))
    return blocks
