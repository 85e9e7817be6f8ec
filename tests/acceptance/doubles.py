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
"""A worker that decides a record of this user dies."""

WEDGING = "wedge"
"""A worker that reads the first record of this user reads nothing ever after, and lives on."""

WEDGED = "TEST_WEDGED_FILE"
"""The variable with the name of the file that says that this has happened."""


def supervisor() -> int:
    """The supervisor, whose workers are those of :func:`worker`."""
    from workers.__main__ import main
    from workers.partition import launch

    launch.COMMAND = (sys.executable, "-m", "tests.acceptance.doubles")
    return main()


def worker(arguments: Sequence[str]) -> int:
    """A worker whom records can harm."""
    from workers.decision import batch
    from workers.partition import __main__ as process
    from workers.partition.attempt_reader import AttemptReader

    real_decode, real_read = batch.decode_attempts, AttemptReader.read
    wedged = False

    def decode(value: bytes | None) -> object:
        message = real_decode(value)
        if getattr(message, "user", "") == DEADLY:
            os._exit(11)
        return message

    def read(self: AttemptReader, limit: int) -> list[batch.Record]:
        nonlocal wedged
        records = real_read(self, limit)
        if any(WEDGING.encode() in (record.value or b"") for record in records):
            flag = Path(os.environ[WEDGED])
            wedged = not flag.exists()
            flag.touch()
        return [] if wedged else records

    batch.decode_attempts = decode  # type: ignore[assignment]
    AttemptReader.read = read  # type: ignore[method-assign]
    return process.main(*arguments)


if __name__ == "__main__":
    sys.exit(worker(sys.argv[1:]) if len(sys.argv) > 1 else supervisor())
