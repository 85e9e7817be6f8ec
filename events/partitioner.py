"""Which partition an account is in."""

from __future__ import annotations

import zlib


def partition_of(user: str, partitions: int) -> int:
    """The partition of this account's attempts: librdkafka's ``consistent`` partitioner."""
    return zlib.crc32(user.encode()) % partitions
