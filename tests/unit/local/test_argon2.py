"""Building Argon2: from what is locked only, and a failure is a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.passwords.argon2_build import LEVELS, PROJECT, WHEEL
from local import argon2
from local.argon2 import LOCKS, REQUIREMENTS, NotBuiltError, build, locked_source, main

LEVEL = next(iter(LEVELS))
COMPILER_SAYS = f"""
Collecting {PROJECT}
  error: subprocess-exited-with-error
      cc1: error: bad value for '-march='
  ERROR: Failed building wheel for {PROJECT}
pip failed: it ended with 1
"""


@pytest.fixture(autouse=True)
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where builds come to lie, on a machine whose CPU can run every one."""
    monkeypatch.setattr(argon2, "BUILDS", tmp_path / "argon2")
    monkeypatch.setattr(argon2, "cpu_flags", lambda: frozenset.union(*LEVELS.values()))
    monkeypatch.setattr(argon2, "obstacle", lambda: None)
    monkeypatch.setattr(argon2.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "argv", ["argon2"])
    return tmp_path / "argon2"


def fail_with(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Let the build end so."""

    def fail(*_: object, **__: object) -> None:
        raise NotBuiltError(said)

    monkeypatch.setattr(argon2, "_run", fail)


def test_the_source_is_the_locked_one() -> None:
    """One package with its hashes, and none of the lines around it."""
    lock = (REQUIREMENTS / LOCKS[0]).read_text()
    found = locked_source(lock).splitlines()
    assert found[0].startswith(f"{PROJECT}==")
    assert sum("--hash=sha256:" in line for line in found) > 1
    assert all(line.startswith(" ") for line in found[1:])
    with pytest.raises(NotBuiltError, match=PROJECT):
        locked_source("cffi==2.1.1\n")


def test_nothing_is_fetched_that_is_not_locked(
    monkeypatch: pytest.MonkeyPatch, builds: Path
) -> None:
    """Neither the source nor what builds it, which pip would fetch without a question."""
    calls: list[tuple[str, ...]] = []

    def run(_: str, *command: str, env: object = None) -> None:
        calls.append(command)
        if "--target" in command:
            Path(command[command.index("--target") + 1]).mkdir()

    monkeypatch.setattr(argon2, "_run", run)
    build(LEVEL)
    tools, source, check = calls
    for command in (tools, source):
        assert {"--require-hashes", "--no-deps"} <= set(command)
    assert "--only-binary=:all:" in tools
    assert {"--no-build-isolation", f"--no-binary={PROJECT}", "--no-cache-dir"} <= set(source)
    assert "pip" not in check
    assert [each.name for each in builds.iterdir()] == [LEVEL]


def test_a_failure_is_a_sentence_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], builds: Path
) -> None:
    """It says what the compiler said; and the former build is gone, as it may be too old."""
    (builds / LEVEL).mkdir(parents=True)
    fail_with(monkeypatch, COMPILER_SAYS)
    assert main() == 0
    said = capsys.readouterr().out.splitlines()
    assert "could not be built for this CPU: cc1: error: bad value for '-march='." in said[0]
    assert said[0].endswith(f"-m local.argon2 {LEVEL}")
    assert "a hash takes" in said[1]
    assert list(builds.iterdir()) == []


def test_a_failure_of_a_level_that_was_asked_for_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image would hash in three times the time, and nobody would know."""
    monkeypatch.setattr(sys, "argv", ["argon2", LEVEL])
    fail_with(monkeypatch, COMPILER_SAYS)
    assert main() == 1
    assert COMPILER_SAYS in capsys.readouterr().err


def test_another_machine_has_the_wheel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also an image that is built for it."""
    monkeypatch.setattr(argon2.platform, "machine", lambda: "aarch64")
    fail_with(monkeypatch, "this must not be tried")
    for asked in ([], [LEVEL]):
        monkeypatch.setattr(sys, "argv", ["argon2", *asked])
        assert main() == 0
        assert f"for aarch64 but the {WHEEL}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("os.environ['PATH'] = '/nowhere'", "there is no C compiler; install it"),
        ("os.environ['CC'] = 'no-such-cc -m64'", "there is no C compiler; install it"),
        ("os.environ['CC'] = sys.executable + ' -m64'", "no headers; install it"),
    ],
)
def test_what_is_missing_is_named_with_the_way_out(code: str, missing: str) -> None:
    """Seen by a process of its own, without headers."""
    look = (
        f"import os, sys, sysconfig; {code}\n"
        "sysconfig.get_path = lambda name: '/nowhere'\n"
        "from local.argon2 import obstacle; print(obstacle())"
    )
    command = [sys.executable, "-c", look]
    cwd = REQUIREMENTS.parent
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)
    assert missing in done.stdout
    assert done.stdout.strip().endswith("-m local.argon2")
