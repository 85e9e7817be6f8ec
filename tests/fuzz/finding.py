"""An input that broke a promise, and its file, by which it is repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec


class FoundError(AssertionError):
    """These inputs of a target, one after the other, broke a promise; the message says which."""

    def __init__(self, target: str, inputs: Sequence[bytes], what: str) -> None:
        super().__init__(f"{target}: {what}")
        self.target = target
        self.inputs = tuple(inputs)
        self.log = ""
        """What the system had logged by then."""

    def keep(self, folder: Path) -> Path:
        """Write the file, named by its target, and the log beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        data = msgspec.msgpack.encode(self.inputs)
        path = folder / f"{self.target}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
        path.write_bytes(data)
        path.with_suffix(".log").write_text(self.log)
        return path


def read(path: Path) -> tuple[str, tuple[bytes, ...]]:
    """The target and the inputs of such a file."""
    target = path.stem.rpartition("-")[0]
    return target, msgspec.msgpack.decode(path.read_bytes(), type=tuple[bytes, ...])
