"""The one directory of a system: usable, and used by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from local.errors import LocalError

# They end a path for Postgres' clients and Kafka, and in Java's class path.
UNUSABLE = ",:"
LOG_BYTES = 10_000_000


def create(path: Path) -> Path:
    """The absolute path of the directory, made where it is missing, readable by its owner only.

    One that exists keeps its permissions. Raises :class:`LocalError`.
    """
    path = Path(os.path.abspath(path.expanduser()))
    bad = [character for character in UNUSABLE if character in str(path)]
    if bad:
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(path)!r}, and a path with {bad[0]!r} cannot be given to "
            "Kafka and Postgres. Set it to another directory."
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(path)!r}, which cannot be made: {error.strerror}. Set it to "
            "a directory of yours."
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(path)!r}, in which you must not write. Set it to a "
            "directory of yours."
        )
    return path


def logs(path: Path) -> Path:
    """The logs' directory; a log that has grown long becomes the old one, which is kept."""
    folder = path / "logs"
    folder.mkdir(exist_ok=True)
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.old"))
    return folder


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the directory; :class:`LocalError` where another process holds it.

    The kernel lets go of it when this process ends, however it ends.
    """
    with (path / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LocalError(
                f"{path} is in use by process {file.read().strip() or '(unknown)'}. Stop it, or "
                "set CERROJO_DATA_DIR to another directory for a second system, and "
                "CERROJO_LOGIN_PORT, CERROJO_OPERATOR_PORT and CERROJO_WORKERS_PORT to other ports."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
