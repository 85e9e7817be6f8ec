"""How `make` makes the virtual environment, with programs that stand in for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import PROJECT

LIBRARIES = ".venv/lib/python{}.{}".format(*sys.version_info)
STAND_IN = f"""#!/bin/sh
surplus=$PYTHONSAFEPATH$PYTHONDONTWRITEBYTECODE$PYTHONUNBUFFERED
case "$*" in -ISc*) ;; *) test -z "$surplus" || exit 9 ;; esac
echo "$*" | cut -d' ' -f-3 >>calls
case "$*" in
-c* | -ISc*) exec {sys.executable} "$@" ;;
"-m venv"*) mkdir -p .venv/bin {LIBRARIES} && cp "$0" .venv/bin/python ;;
"-m pip"*) test ! -e broken ;;
esac
"""
VENV, PIP, ARGON2 = "-m venv --clear", "-m pip install", "-m local.argon2"

Make = Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Runs `make venv` in a folder that has nothing but the Makefile and its locks."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    locks = tmp_path / "requirements"
    locks.mkdir()
    for name in ("dev.txt", "argon2-build.txt"):
        (locks / name).touch()
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    command = ["make", "PYTHON=./python", "venv"]
    environ = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    environ |= dict.fromkeys(("PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"), "1")
    return lambda: subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )


def calls(folder: Path) -> list[str]:
    """The calls since the last look, without the question for the version."""
    file = folder / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [line for line in lines if line in (VENV, PIP, ARGON2)]


def test_an_environment_is_made_once(tmp_path: Path, make: Make) -> None:
    """The next `make` finds it."""
    assert make().returncode == 0
    assert calls(tmp_path) == [VENV, PIP, ARGON2]
    assert make().returncode == 0
    assert calls(tmp_path) == []


def test_a_newer_lock_is_installed_into_it(tmp_path: Path, make: Make) -> None:
    """A package that is right already is not installed again."""
    make()
    calls(tmp_path)
    stamp = tmp_path / ".venv" / "installed"
    os.utime(stamp, (0, 0))
    assert make().returncode == 0
    assert calls(tmp_path) == [PIP, ARGON2]
    assert stamp.exists()


@pytest.mark.parametrize("before", [False, True])
def test_an_unfinished_one_is_made_anew(tmp_path: Path, make: Make, before: bool) -> None:
    """Whether the first installation was cut off, or that of a newer lock."""
    if before:
        make()
        os.utime(tmp_path / ".venv" / "installed", (0, 0))
    (tmp_path / "broken").touch()
    done = make()
    assert done.returncode != 0
    assert "make PYTHON=python3.14" in done.stderr
    calls(tmp_path)
    (tmp_path / "broken").unlink()
    assert make().returncode == 0
    assert calls(tmp_path) == [VENV, PIP, ARGON2]


@pytest.mark.parametrize("change", ["another version", "none"])
def test_one_whose_python_was_updated_is_made_anew(tmp_path: Path, make: Make, change: str) -> None:
    """The link leads to another version by now, or to nothing."""
    make()
    calls(tmp_path)
    if change == "none":
        (tmp_path / ".venv" / "bin" / "python").unlink()
    else:
        (tmp_path / LIBRARIES).rename(tmp_path / ".venv" / "lib" / "python3.1")
    assert make().returncode == 0
    assert calls(tmp_path) == [VENV, PIP, ARGON2]


def test_an_old_python_is_named(tmp_path: Path, make: Make) -> None:
    """With the way out, and before anything is made."""
    old = "import sys; sys.version_info = (3, 9);"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{old}'\"$2\"\n")
    done = make()
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and ./python is 3.9" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_command_is_there_from_any_folder(tmp_path: Path, make: Make) -> None:
    """By the environment's Python, with the checkout's modules and none of the folder it is in."""
    make()
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = [tmp_path / ".venv" / "bin" / "cerrojo", "unblock", "a b"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path} -P -m cerrojo unblock a b\n"
