"""The machine that a figure was measured on, and the commit that was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil

from bench.system import PROJECT


def describe() -> str:
    """The machine in a line: a figure without it says nothing."""
    busy = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"load before the run {busy:.1f}"
    )


def commit() -> str:
    """The commit that is measured; it ends in "-dirty" where the files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
