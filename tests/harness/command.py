"""The command `cerrojo`, as a script would run it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO, Any

from tests.harness.waiting import NOT_HEARD
from tests.paths import PROJECT

COMMAND = (sys.executable, "-m", "cerrojo")

_ONE_AT_A_TIME = threading.Lock()


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
    """By a process that has run others: the imports of each would be a tenth of all tests."""
    job = {"env": {**os.environ, **env}, "words": words, "given": given}
    with _ONE_AT_A_TIME:
        to, answers = _runner()
        to.write(json.dumps(job) + "\n")
        to.flush()
        line = answers.readline()
    assert line, "the process that runs commands has ended; its stderr says why"
    return subprocess.CompletedProcess([*COMMAND, *words], **json.loads(line))


@cache
def _runner() -> tuple[IO[str], IO[str]]:
    """Where :mod:`tests.harness.command_runner` gets commands, and answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.command_runner"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    atexit.register(process.communicate)
    return process.stdin, process.stdout


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
