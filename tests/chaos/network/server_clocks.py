"""Servers whose time of day is set from outside while they run, by libfaketime.

Each server reads how wrong its clock is from a file, once a second. Its waits are measured by the
monotonic clock, which stays right: libfaketime must be told not to touch that, and not to take
waits by it for waits by the time of day (`FAKETIME_FORCE_MONOTONIC_FIX=0`), or a JVM's timed waits
return at once [measured with 0.9.10].
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDERS = ("/usr/lib", "/usr/local/lib")
LIBRARY = "faketime/libfaketimeMT.so.1"

TAKES_SECONDS = 3.0
"""Until a server that is busy or not surely has the time that it was given."""


class ServerClocks:
    """The clocks of some servers, all right at first."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        """Does no I/O."""
        self._files = {name: folder / f"{name}.clock" for name in names}
        self._library = library()

    def prepare(self) -> None:
        """Write the files; without libfaketime there is nothing to do."""
        for name in self._files:
            self.set(name, 0)

    def environment(self, name: str) -> dict[str, str]:
        """The variables that a server's process needs in its environment."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._files[name]),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def set(self, name: str, seconds: float) -> None:
        """Let a server's clock be so much ahead, in :data:`TAKES_SECONDS` at most."""
        file = self._files[name]
        new = file.with_suffix(".new")
        new.write_text(f"{seconds:+g}\n")
        new.chmod(0o644)  # Postgres may run as a user of its own
        new.rename(file)


def library() -> Path | None:
    """Debian's libfaketime; None where it is not installed."""
    found = [file for folder in FOLDERS for file in sorted(Path(folder).glob(f"*/{LIBRARY}"))]
    return found[0] if found else None


def why_no_clocks() -> str | None:
    """Why servers cannot have clocks of their own here; None where they can."""
    if library() is None:
        return "libfaketime is not here (on Debian: apt-get install faketime)"
    return None
