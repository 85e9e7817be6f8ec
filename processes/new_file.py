"""A small file that is replaced at once, so that everybody reads the former one or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def beside(path: Path, content: bytes) -> Path:
    """A new file with this content, which may take the place of `path`. Raises OSError.

    It is for its owner alone; where `path` is there, it has the owner and the mode of that.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                former = path.stat()
                os.fchown(descriptor, former.st_uid, former.st_gid)
                os.fchmod(descriptor, former.st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def replace(path: Path, content: bytes) -> None:
    """Replace a file by one that :func:`beside` makes. Raises OSError."""
    path = path.resolve()
    new = beside(path, content)
    try:
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
