"""What Java remembers of Kafka's start is made once, and used only where it is ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import jars, kafka_aot
from local.errors import LocalError
from local.progress import ProgressReporter


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one jar."""
    jar = tmp_path / "one.jar"
    jar.touch()
    os.utime(jar, (1_000, 1_000))
    monkeypatch.setattr(jars, "paths", lambda _: [jar])
    return tmp_path


def make(cache: Path) -> int:
    """Have it made; how often Java watched for it."""
    watched: list[Path] = []

    def watch(output: Path) -> None:
        watched.append(output)
        output.write_bytes(b"what it saw")

    kafka_aot.ensure(cache, ProgressReporter(), watch)
    return len(watched)


def test_it_is_made_once_for_the_same_jars(cache: Path) -> None:
    """A jar that came later is another one, with which Java would not use it."""
    assert not kafka_aot.settled(cache)
    assert kafka_aot.options(cache) == []
    assert (make(cache), make(cache)) == (1, 0)
    assert f"-XX:AOTCache={kafka_aot.path(cache)}" in kafka_aot.options(cache)
    os.utime(cache / "one.jar", (9_999_999_999, 9_999_999_999))
    assert make(cache) == 1


def test_one_that_others_can_write_is_not_used(cache: Path) -> None:
    """It is code, and no checksum says whose."""
    make(cache)
    kafka_aot.path(cache).chmod(0o620)
    assert kafka_aot.options(cache) == []


def test_a_failure_is_no_failure_of_the_start(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in the log, and tried again another day and not at every start."""

    def watch(_: Path) -> None:
        raise LocalError("Java did not write it.")

    kafka_aot.ensure(cache, ProgressReporter(), watch)
    assert "Java did not write it." in capsys.readouterr().out
    assert kafka_aot.options(cache) == []
    assert make(cache) == 0
    os.utime(kafka_aot.path(cache), (2_000, 2_000))
    assert make(cache) == 1
