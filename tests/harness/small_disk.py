"""A disk that a test may fill: a tmpfs, where one can be mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil

_SOURCE = "cerrojo-test-"
"""What is mounted, before the pid of the test run."""


def mount(folder: Path, mebibytes: int) -> str:
    """Put a disk of this size there. The reason why there is none, or ""."""
    return _run(
        "mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", f"{_SOURCE}{os.getpid()}", str(folder)
    )


def unmount(folder: Path) -> None:
    """Give it back, whoever still uses it."""
    why_not = _run("umount", "--lazy", str(folder))
    assert not why_not, why_not


def unmount_left_over() -> None:
    """Give back those of test runs that were killed: no later one could delete their folders."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, folder, *_ = line.split(" ")
        if source.startswith(_SOURCE) and not psutil.pid_exists(int(source[len(_SOURCE) :])):
            _run("umount", "--lazy", folder.replace(r"\040", " "))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip()
