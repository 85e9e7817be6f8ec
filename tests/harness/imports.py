"""Which modules a process has loaded once it has imported one."""

from __future__ import annotations

import subprocess
import sys

from tests.paths import PROJECT

LEFT_OUT = {"greenlet", "rich"}
"""structlog takes both where it finds them."""

TOLD = "import sys, {0}; print(*sys.modules, sep='\\n')"


def loaded(module: str) -> set[str]:
    """The packages that importing this module loads, in a process of its own."""
    done = subprocess.run(
        (sys.executable, "-c", TOLD.format(module)),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}
