"""A small file that is replaced at once, so that everybody reads the former one or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def beside(path: Path, content: bytes, *, only_ours: bool = False) -> Path:
    """A new file with this content, which may take the place of `path`. Raises OSError.

    It is for its owner alone; where `path` is there, it has the owner and the mode of that.
    With `only_ours` it stays this process' alone where the owner may not be given, which is an
    OSError otherwise, as others could read it no more.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                former = path.stat()
                try:
                    os.fchown(descriptor, former.st_uid, former.st_gid)
                    os.fchmod(descriptor, former.st_mode & 0o777)
                except PermissionError:
                    if not only_ours:
                        raise
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def replace(path: Path, content: bytes, *, only_ours: bool = False) -> None:
    """Replace a file by one that :func:`beside` makes, which has the arguments. Raises OSError."""
    path = path.resolve()
    new = beside(path, content, only_ours=only_ours)
    try:
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
