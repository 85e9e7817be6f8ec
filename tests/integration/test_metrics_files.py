"""The files that processes count in: a process that is gone leaves none behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOLD = """
from processes.metrics import directory
with directory() as path:
    print(path, flush=True)
    input()
"""

COUNT = """
import sys
from processes.metrics import use_slot
use_slot(sys.argv[1])
from workers import metrics
metrics.BLOCKS.inc()
metrics.GENERATION.labels("1").set(1)
if len(sys.argv) > 2:
    use_slot(sys.argv[2])
    metrics.BLOCKS.inc()
    metrics.GENERATION.labels("1").set(1)
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose temporary files are this test's own."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


@contextmanager
def supervisor(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a directory for metrics until it reads a line or is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def age(path: Path) -> None:
    """Nothing happened in there for long."""
    os.utime(path, (0, 0))


def test_the_directory_of_a_killed_supervisor_is_removed_at_the_next_start(
    env: dict[str, str], tmp_path: Path
):
    """Those of the living stay, and so does one that is new and may just not be locked yet.

    What cleans /tmp by age may have taken every file of a living one.
    """
    with supervisor(env) as (living, kept), supervisor(env) as (killed, left):
        for old in kept.iterdir():
            old.unlink()
        (left / "counter_login-1.db").write_text("")
        killed.kill()
        killed.wait()
        age(kept)
        with supervisor(env) as (_, other):
            assert left.is_dir()
            assert other.is_dir()
        age(left)
        with supervisor(env) as (_, own):
            assert not left.exists()
            assert kept.is_dir()
            assert own.is_dir()
        living.communicate("\n")
    assert not kept.exists()


def test_the_directory_of_a_version_before_stays(env: dict[str, str], tmp_path: Path):
    """It locked a file in it. During an update its gateway serves while new workers start.

    Nor does such a version delete one of this one's: it looks for that lock.
    """
    with (
        supervisor(env) as (_, ours),
        (ours / "lock").open("a") as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    former = tmp_path / "cerrojo-metrics-of-before"
    former.mkdir()
    with (former / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        age(former)
        with supervisor(env):
            assert former.is_dir()
    age(former)
    with supervisor(env):
        assert not former.exists()


def test_a_process_goes_on_with_the_files_of_its_predecessor(env: dict[str, str], tmp_path: Path):
    """However often a worker or a standby starts, its slots have one set of files."""
    env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    seen = []
    for _ in range(3):
        for slots in (["partition-3"], ["standby", "partition-3"]):
            subprocess.run([sys.executable, "-c", COUNT, *slots], env=env, check=True, timeout=60)
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
    assert seen[0]
    assert seen[1:] == seen[:-1]


def test_what_is_not_a_directory_of_ours_is_left_alone(env: dict[str, str], tmp_path: Path):
    """Somebody else on the machine could lead the supervisor to any file."""
    (target := tmp_path / "elsewhere").mkdir()
    (link := tmp_path / "cerrojo-metrics-link").symlink_to(target)
    age(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    with supervisor(env) as (_, own):
        assert own.is_dir()
    assert list(target.iterdir()) == []


SCRAPE = """
import os, sys, threading
from pathlib import Path
import prometheus_client.multiprocess
from processes.metrics import exposition
(new := Path(sys.argv[1]) / "counter_new.db").touch()
threading.Timer(0.02, os.truncate, (new, 4096)).start()
print(exposition()[0].decode())
"""


def test_a_file_that_has_just_been_made_breaks_no_scrape(env: dict[str, str], tmp_path: Path):
    """A process that starts makes its files first and writes to them then."""
    env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COUNT, "partition-3"], env=env, check=True, timeout=60)
    scraped = subprocess.run(
        [sys.executable, "-c", SCRAPE, str(tmp_path)],
        env=env,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert "cerrojo_blocks_total 1.0" in scraped.stdout
