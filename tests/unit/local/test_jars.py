"""The jars: those that are locked are used, and no others."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from local import jars
from local.errors import LocalError
from local.progress import ProgressReporter

CONTENT = b"a jar"
SUM = hashlib.sha256(CONTENT).hexdigest()
ONE = f"org.example:one:1.0 {SUM} {len(CONTENT)}\n"


class Repository:
    """Stands for jgo: every coordinate has the same content."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self.content = content
        self.asked: list[str] = []

    def create_dependency(self, coordinate: str) -> SimpleNamespace:
        return SimpleNamespace(artifact=SimpleNamespace(resolve=lambda: self._bring(coordinate)))

    def _bring(self, coordinate: str) -> Path:
        self.asked.append(coordinate)
        path = self.folder / coordinate.replace(":", "-")
        path.write_bytes(self.content)
        return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository that brings what is locked."""
    folder = tmp_path / "remote"
    folder.mkdir()
    there = Repository(folder, CONTENT)
    monkeypatch.setattr(jars, "_maven", lambda *_: there)
    return there


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one jar."""
    path = tmp_path / "lock"
    path.write_text("# a comment\n" + ONE)
    return path


def test_a_missing_jar_is_downloaded_once(
    tmp_path: Path, repository: Repository, lock: Path
) -> None:
    """A jar that is there and right is not fetched again."""
    for _ in range(2):
        jars.ensure(tmp_path, ProgressReporter(), lock)
    assert repository.asked == ["org.example:one:1.0"]
    assert (tmp_path / "jars" / jars.locked(lock)[0].filename).read_bytes() == CONTENT


def test_a_damaged_jar_is_replaced(tmp_path: Path, repository: Repository, lock: Path) -> None:
    """A jar of the right size with another content is not used."""
    jars.ensure(tmp_path, ProgressReporter(), lock)
    jar = tmp_path / "jars" / jars.locked(lock)[0].filename
    jar.write_bytes(b"b jar")
    assert not jars.present(tmp_path, lock)
    jars.ensure(tmp_path, ProgressReporter(), lock)
    assert jars.present(tmp_path, lock)
    assert jar.read_bytes() == CONTENT


def test_a_download_with_another_sum_is_refused(
    tmp_path: Path, repository: Repository, lock: Path
) -> None:
    """A jar that is not locked never gets into the class path, and the error says what came."""
    repository.content = b"not a jar"
    with pytest.raises(LocalError, match="one:1.0 has the SHA-256 .* says " + SUM):
        jars.ensure(tmp_path, ProgressReporter(), lock)
    assert not list((tmp_path / "jars").glob("*.jar"))


def test_a_full_disk_is_not_the_network_s_fault(
    tmp_path: Path, repository: Repository, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person would look for the trouble in the wrong place."""

    def full(_: str) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(repository, "_bring", full)
    with pytest.raises(LocalError, match=f"kept in {tmp_path}/jars: No space left on device. Make"):
        jars.ensure(tmp_path, ProgressReporter(), lock)


@pytest.mark.parametrize(
    "line",
    ["org.example:one:1.0", f"org.example:one {SUM} 5", "org.example:one:1.0 abc 5", "x y z"],
)
def test_a_line_without_a_sum_is_an_error(tmp_path: Path, line: str) -> None:
    """A jar is never used because its sum is missing."""
    lock = tmp_path / "lock"
    lock.write_text(f"# a comment\n{line}\n")
    with pytest.raises(LocalError, match="line 2"):
        jars.locked(lock)


def test_the_lock_is_of_this_kafka() -> None:
    """The committed lock has the broker of the version that the data is checked against."""
    coordinates = {jar.coordinate for jar in jars.locked()}
    assert {jars.KAFKA, jars.LOG_BINDING} <= coordinates


def test_progress_tells_the_whole_and_the_end() -> None:
    """A person sees how much there is, and that it has come."""
    said: list[str] = []
    progress = ProgressReporter(said.append)
    progress.download(44_000_000)
    with progress.file("one.jar", 44_000_000) as came:
        came(1_000_000)
        came(43_000_000)
    assert said == ["downloading: 1 of 44 MB", "downloading: 44 of 44 MB"]
