"""The error of `local`, and what is said of one of the system's."""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """Kafka or Postgres cannot be started; the message says why, and the way out."""


def unusable(error: OSError, folder: Path) -> str:
    """The sentences about a file in `folder` that the system refused to read or to write."""
    what = error.filename or f"A file in {folder}"
    return (
        f"{what} cannot be used: {error.strerror or error}. Make room on the disk, or give this "
        "user access, then start again."
    )
