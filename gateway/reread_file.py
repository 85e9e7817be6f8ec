"""A small file that an operator, or the gateway, changes while the gateway runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_Version = tuple[int, int, int, int]


class RereadFile(Generic[T]):
    """What a file says. It is looked at for each use, and read again whenever it has changed."""

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self.path = path
        self._parse = parse
        self._known: tuple[_Version, T] | None = None

    def current(self) -> T:
        """What it says now. Raises OSError where it cannot be read, and whatever `parse` raises."""
        stat = os.stat(self.path)
        version = (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev)
        if self._known is None or self._known[0] != version:
            self._known = version, self._parse(self.path.read_bytes())
        return self._known[1]
