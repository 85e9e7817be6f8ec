"""The memory of a process that sees passwords stays where it is."""

from __future__ import annotations

import subprocess
import sys

from tests.paths import PROJECT

PROGRAM = """
import ctypes, resource, sys
from processes import core_dumps
PR_GET_DUMPABLE = 3
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if sys.argv[1:]:
    core_dumps.forbid()
limits = resource.getrlimit(resource.RLIMIT_CORE)
print(*limits, ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


def state(*arguments: str) -> list[str]:
    """A process's limits of a core dump, and whether it is dumpable."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.check_output(command, cwd=PROJECT, text=True).split()


def test_no_core_is_dumped_and_no_neighbour_may_look() -> None:
    """Neither into a file, nor to a program of core_pattern, nor by ptrace or /proc."""
    assert state("forbid") == ["0", "0", "0"]


def test_a_process_is_dumpable_otherwise() -> None:
    """Else the other test would show nothing."""
    assert state()[2] == "1"
