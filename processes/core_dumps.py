"""Keeps the memory of a process that sees passwords to itself."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """No core dump of this process is written, and no process of its user may look into it.

    The limit alone would not do: Linux passes it over where core_pattern names a program, as
    systemd's. A process that is not dumpable has files in /proc that only root may write: do what
    needs these before.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
