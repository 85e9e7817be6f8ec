"""`python -m tests.acceptance.doubles`: the workers, except that some records do harm to them.

Everything is the real thing but for what a record of these users does to the process that
meets it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

DEADLY = "poison"
"""Whoever decides a record of this user dies."""

WEDGING = "wedge"
"""Whoever reads the first record of this user reads nothing ever after, and lives on."""

WEDGED = "TEST_WEDGED_FILE"
"""The variable with the name of the file that says that this has happened."""


def supervisor() -> int:
    """The supervisor, whose workers are those of :func:`worker`."""
    from workers import spares
    from workers.__main__ import main

    spares.COMMAND = (sys.executable, "-m", "tests.acceptance.doubles")
    return main()


def worker(arguments: Sequence[str]) -> int:
    """A worker whom records can harm."""
    from workers import batch, partition
    from workers.log import Log

    real_decode, real_read = batch.decode_attempts, Log.read
    wedged = False

    def decode(value: bytes | None) -> object:
        message = real_decode(value)
        if getattr(message, "user", "") == DEADLY:
            os._exit(11)
        return message

    def read(self: Log, limit: int) -> list[batch.Record]:
        nonlocal wedged
        records = real_read(self, limit)
        if any(WEDGING.encode() in (record.value or b"") for record in records):
            flag = Path(os.environ[WEDGED])
            wedged = not flag.exists()
            flag.touch()
        return [] if wedged else records

    batch.decode_attempts = decode  # type: ignore[assignment]
    Log.read = read  # type: ignore[method-assign]
    return partition.main(*arguments)


if __name__ == "__main__":
    sys.exit(worker(sys.argv[1:]) if len(sys.argv) > 1 else supervisor())
