"""A gateway's snapshot of the tables in memory: `gateway.blocklist.snapshot`, without SQL."""

from __future__ import annotations

from gateway.blocklist.blocklist import BlockEntry, BlocklistSnapshot, PartitionFloor
from tests.simulation.world import Tables


def snapshot(tables: Tables) -> BlocklistSnapshot:
    """The blocks that had not ended before the last decision, and the progress."""
    known = {n: part.progress for n, part in enumerate(tables.parts) if part.progress}
    latest = max((progress.last_ms or 0 for progress in known.values()), default=0)
    floors = {n: PartitionFloor(p.epoch, p.position) for n, p in known.items()}
    blocks = {
        user: BlockEntry(position, state.until_ms)
        for user, (state, position, _) in tables.states.items()
        if state.until_ms is not None and state.until_ms > latest
    }
    return BlocklistSnapshot(tables.partitions, floors, blocks)


def blocked(tables: Tables, now_ms: int) -> dict[str, int]:
    """The users who are blocked at this time, and until when."""
    return {
        user: state.until_ms
        for user, (state, _, _) in tables.states.items()
        if state.until_ms is not None and state.until_ms > now_ms
    }
