"""The virtual environment of `make`. Run before there is one: only the standard library."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import venv
from pathlib import Path

PACKAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==", re.MULTILINE)
PIP = ("-m", "pip", "install", "--require-hashes", "--disable-pip-version-check", "--no-input")


def install(environment: Path, lock: Path, stamp: Path) -> int:
    """Make the environment, install what is locked, and note it in `stamp`; the exit code."""
    python = environment / "bin" / "python"
    if not (environment / "bin" / "pip").exists():  # the last that is made there
        print(f"Making {environment}", flush=True)
        venv.create(environment, with_pip=True, clear=environment.exists())
    count = len(PACKAGE.findall(lock.read_text(encoding="utf-8")))
    command = [str(python), *PIP, "-r", str(lock)]
    # With SIGTERM pip is stopped too, by the `finally` of _run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = _run(command, count)
    if code == 0:
        stamp.touch()
    return code


def _run(command: list[str], count: int) -> int:
    said: list[str] = []
    seen = 0
    pipe, to_pipe = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=pipe, stderr=to_pipe, text=True) as pip:
        assert pip.stdout is not None
        try:
            for line in pip.stdout:
                said.append(line)
                word, _, rest = line.strip().partition(" ")
                if word in ("Collecting", "Requirement"):
                    seen += 1
                if word in ("Collecting", "Downloading", "Installing"):
                    _show(f"{seen} of {count} packages: {word.lower()} {rest}")
        finally:
            if sys.exc_info()[0] is not None:
                pip.terminate()
    _show(f"{count} packages are installed." if pip.returncode == 0 else "", end="\n")
    if pip.returncode:
        print("".join(said[-15:]), end="", file=sys.stderr)
    return pip.returncode


def _show(text: str, end: str = "") -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{text[:78]}", end=end, flush=True)
    elif end and text:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(install(*(Path(argument) for argument in sys.argv[1:])))
