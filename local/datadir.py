"""The data directory of a system: creates it, and locks it for one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from local.errors import LocalError
from local.private_file import write_private
from settings import OF_MAKE_UP, variable

# These separate paths for Postgres' clients and Kafka, and in Java's class path.
UNUSABLE = ",:"
LOG_BYTES = 10_000_000


def absolute(path: Path, field: str = "data_dir") -> Path:
    """The absolute path of this setting; `~` is a home folder.

    Raises :class:`LocalError` where a path has a character that others take for its end.
    """
    path = Path(os.path.abspath(path.expanduser()))
    bad = [character for character in UNUSABLE if character in str(path)]
    if bad:
        raise LocalError(
            f"{variable(field)} is {str(path)!r}, and a path with {bad[0]!r} cannot be given to "
            "Kafka and Postgres. Set it to another directory."
        )
    return path


def create(path: Path) -> Path:
    """Create the directory if it is missing, for its owner only; its absolute path.

    An existing directory keeps its permissions. Raises :class:`LocalError` where the path cannot be
    used.
    """
    path = absolute(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(path)!r}, which cannot be created: {error.strerror}. Set it "
            "to a directory of yours."
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise LocalError(
            f"CERROJO_DATA_DIR is {str(path)!r}, in which you may not write. Set it to a directory "
            "of yours."
        )
    return path


def logs(path: Path) -> Path:
    """The logs' directory. A log of more than 10 MB is renamed to `.log.old`, replacing that."""
    folder = path / "logs"
    folder.mkdir(exist_ok=True)
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.old"))
    return folder


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Lock the directory. Raises :class:`LocalError` where another process has locked it.

    The kernel releases the lock when this process ends, however it ends.
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


@contextlib.contextmanager
def environment(path: Path) -> Iterator[Callable[[dict[str, str]], None]]:
    """Gives what tells the command `cerrojo` the variables of this system, until it has stopped.

    Its file is for its owner only: a connection string may have a password.
    """
    file = path / OF_MAKE_UP

    def tell(variables: dict[str, str]) -> None:
        write_private(file, msgspec.json.encode(variables).decode())

    try:
        yield tell
    finally:
        file.unlink(missing_ok=True)
