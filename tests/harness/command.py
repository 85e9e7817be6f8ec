"""The command `cerrojo`, as a script would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.harness.waiting import NOT_HEARD
from tests.paths import PROJECT

COMMAND = (sys.executable, "-m", "cerrojo")


def cerrojo(
    env: Mapping[str, str], *words: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it in a pipe, with this on stdin; again where the gateway says `NOT_HEARD`."""
    while NOT_HEARD in (done := _run(env, words, given)).stderr:
        pass
    sys.stderr.write(done.stderr)  # pytest shows it where a test fails
    return done


def _run(
    env: Mapping[str, str], words: Sequence[str], given: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=PROJECT,
        env={**os.environ, **env},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def said(env: Mapping[str, str], *words: str, given: str = "") -> Any:
    """What it said, where it was done."""
    done = cerrojo(env, *words, given=given)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def doctor(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What it says, once no part of a busy machine stands still for a moment."""
    done = cerrojo(env, "doctor")
    for _ in range(10):
        if "is not ready" not in done.stdout:
            break
        done = cerrojo(env, "doctor")
    return done
