"""The command `cerrojo`, as a script would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.paths import PROJECT

COMMAND = (sys.executable, "-m", "cerrojo")


def cerrojo(
    env: Mapping[str, str], *words: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it in a pipe, with this on stdin."""
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=PROJECT,
        env={**os.environ, **env},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    sys.stderr.write(done.stderr)  # pytest shows it where a test fails
    return done


def said(env: Mapping[str, str], *words: str, given: str = "") -> Any:
    """What it said, where it was done."""
    done = cerrojo(env, *words, given=given)
    assert done.returncode == 0, done
    return json.loads(done.stdout)
