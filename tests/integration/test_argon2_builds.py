"""Every build of Argon2 that a machine may choose gives the same hashes.

Else accounts would be locked by a move to another machine.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from gateway.passwords.argon2_build import BUILDS, LEVELS, WHEEL, choose, cpu_flags
from local.argon2 import obstacle
from tests.conftest import SAID
from tests.harness.argon2_hashes import COUNT, THREADS
from tests.paths import PROJECT

MISSING = obstacle()
"""Why this machine can build nothing; None where it must have built."""
LEVELS_HERE = [
    level for level in choose(cpu_flags(), LEVELS) if MISSING is None or (BUILDS / level).is_dir()
]
BUILDS_HERE = [WHEEL, *LEVELS_HERE]

VECTORS = {
    "D": "512b391b6f1162975371d30919734294f868e3be3984f3c1a13a4db9fabe4acb",
    "I": "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8",
    "ID": "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659",
}
"""RFC 9106, 5.1 to 5.3."""

FASTEST = """
from gateway.passwords.argon2_build import use_fastest
print(use_fastest().name)
"""


@pytest.fixture(scope="module")
def said() -> Callable[[str], dict[str, Any]]:
    """A build's output for the module's inputs, which are other ones each time."""
    seed = secrets.token_hex(8)

    @cache
    def run(build: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.harness.argon2_hashes", build, seed]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"python -m local.argon2 makes a build\n{done.stderr}"
        return {**json.loads(done.stdout), "seed": seed}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS_HERE)
def test_a_build_does_as_the_rfc_says(
    said: Callable[[str], dict[str, Any]],
    build: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Of each variant, with all that can be put in."""
    assert said(build)["vectors"] == VECTORS
    why = f" (nothing else could be built: {MISSING})" if not LEVELS_HERE else ""
    record_property(SAID, f"Argon2's build {build} hashes as RFC 9106 says{why}")


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS_HERE)
@pytest.mark.parametrize("how", ["one after the other", "all at once"])
def test_a_build_gives_the_hashes_of_the_wheel(
    said: Callable[[str], dict[str, Any]], build: str, how: str
) -> None:
    """Of ten thousand random inputs, and under thirty threads."""
    expected, found = said(WHEEL)["one after the other"], said(build)[how]
    assert len(expected) == len(found) == COUNT + THREADS
    assert len(set(expected)) > COUNT / 2
    wrong = [n for n, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other]
    assert not wrong, f"of the inputs of {said(build)['seed']}"


def test_the_fastest_build_is_used() -> None:
    """The one that was made for this CPU, or the wheel where none could be."""
    command = [sys.executable, "-c", FASTEST]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == (LEVELS_HERE or [WHEEL])[0]
