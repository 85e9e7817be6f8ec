"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def describe() -> str:
    """The machine in a line: a figure without it says nothing."""
    busy = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"load before the run {busy:.1f}"
    )


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
