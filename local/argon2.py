"""`python -m local.argon2 [LEVEL...]`: Argon2 built from its locked source, for a level of CPU.

Without a level it builds for those that this CPU can run, and a failure is a sentence and no error:
the wheel does the same, slower. With a level, as for an image, it builds for that one whatever this
CPU is, and a failure is an error. Every package that takes part is checked by its hash: the source
by `requirements/runtime.txt`, what builds it by `requirements/argon2-build.txt`.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.passwords.argon2_build import (
    BUILDS,
    LEVELS,
    PROJECT,
    WHEEL,
    choose,
    cpu_flags,
    use_fastest,
)

if TYPE_CHECKING:  # an image is built without it
    from settings import Settings

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
LOCKS = (SOURCE_LOCK, TOOLS_LOCK) = ("runtime.txt", "argon2-build.txt")
MEASURED_SECONDS = 0.1
COMMAND = f"{sys.executable} -m local.argon2"
ERROR = re.compile(r"\w: error: |ERROR: |Error: ")
"""In a line of a compiler, of pip, of Python."""

LOAD = """
import pathlib, sys
from gateway.passwords import argon2_build
argon2_build.load(pathlib.Path(sys.argv[1]))
"""


class NotBuiltError(Exception):
    """There is no build for a level; the message says why."""


def obstacle() -> str | None:
    """The thing that is missing for a build, with the way out; None where all is there."""
    if shutil.which(shlex.split(os.environ.get("CC") or "cc")[0]) is None:
        missing, packages = "there is no C compiler", "gcc libc6-dev"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing, packages = "this Python has no headers", "python3-dev"
    else:
        return None
    return f"{missing}; install it (on Debian: apt-get install {packages}), then do: {COMMAND}"


def build(level: str) -> None:
    """Put the build for this level in its place. Raises NotBuiltError; then there is none."""
    place = BUILDS / level
    shutil.rmtree(place, ignore_errors=True)  # it may be of another version
    if (missing := obstacle()) is not None:
        raise NotBuiltError(missing)
    BUILDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=BUILDS) as folder:
        tools, made = Path(folder, "tools"), Path(folder, "made")
        source = Path(folder, "source.txt")
        source.write_text(locked_source((REQUIREMENTS / SOURCE_LOCK).read_text()))
        _install(tools, REQUIREMENTS / TOOLS_LOCK, "--only-binary=:all:")
        _install(
            made,
            source,
            f"--no-binary={PROJECT}",
            "--no-build-isolation",  # it would fetch what builds it, unchecked
            # pip keeps what it has built, and knows nothing of the level that it was built for.
            "--no-cache-dir",
            env={
                "PYTHONPATH": str(tools),
                "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "CFLAGS": f"-O3 -march={level}",
            },
        )
        if choose(cpu_flags(), [level]):
            _run("It does not work", sys.executable, "-c", LOAD, str(made))
        made.rename(place)


def locked_source(lock: str) -> str:
    """The bindings' lines of a lock."""
    found = re.search(rf"^{PROJECT}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if found is None:
        raise NotBuiltError(f"{PROJECT} is not in the lock")
    return found[0]


def describe(settings: Settings) -> str:
    """Which build is used here, and what a hash by these settings takes: the least of some."""
    build = use_fastest()
    from argon2 import PasswordHasher  # after the choice

    from gateway.passwords.argon2_bounds import weakness

    hasher = PasswordHasher(
        time_cost=settings.argon2_time_cost,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_parallelism,
    )
    taken: list[float] = []
    while sum(taken) < MEASURED_SECONDS:
        started = time.process_time()  # the work of others at the same time is no part of it
        hasher.hash("a password")
        taken.append(time.process_time() - started)
    which = "the wheel's, for any CPU" if build.name == WHEEL else f"built for {build.name}"
    said = f"Argon2 is {which}; a hash takes {1000 * min(taken):.1f} ms of CPU"
    return f"{said}. {weak}" if (weak := weakness(settings)) else said


def main() -> int:
    """Build for the levels of the command line, or of this CPU; 1 where that one failed."""
    if platform.machine() not in ("x86_64", "AMD64"):
        print(f"There is no build of Argon2 for {platform.machine()} but the wheel.")
        return 0
    wanted = sys.argv[1:]
    try:
        for level in wanted or choose(cpu_flags(), LEVELS):
            build(level)
    except NotBuiltError as error:
        if wanted:
            print(error, file=sys.stderr)
            return 1
        print(f"Argon2 could not be built for this CPU: {_in_short(str(error))}")
    if not wanted:
        import settings

        # Those of the environment may be wrong, and this is no place to say that.
        print(f"{describe(settings.Settings())}.")
    return 0


def _in_short(trouble: str) -> str:
    """The line that says what is wrong, and how to see the others."""
    *others, last = trouble.strip().splitlines()
    if not others:
        return last
    errors = (line.strip() for line in others if ERROR.search(line))
    return f"{next(errors, last)}. All of it: {COMMAND} {next(iter(LEVELS))}"


def _install(folder: Path, lock: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input")
    checked = ("--require-hashes", "--no-deps", "-r", str(lock))
    _run("pip failed", *pip, "--target", str(folder), *checked, *options, env=env)


def _run(trouble: str, *command: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotBuiltError(f"{done.stdout}\n{trouble}: it ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
