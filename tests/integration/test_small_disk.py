"""Disks of a tmpfs are given back, also by a run that was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.harness import small_disk
from tests.paths import PROJECT


def test_only_what_a_dead_run_has_mounted_is_unmounted(tmp_path: Path):
    """Its folder could not be deleted; a run that goes on still needs its own."""
    ours, theirs = tmp_path / "ours", tmp_path / "a dead run's"
    for folder in (ours, theirs):
        folder.mkdir()
    assert small_disk.mount(ours, 1) == "", "run this as root, with CAP_SYS_ADMIN"
    try:
        code = (
            "import sys; from pathlib import Path; from tests.harness import small_disk\n"
            "sys.exit(small_disk.mount(Path(sys.argv[1]), 1) or 0)"
        )
        subprocess.run([sys.executable, "-c", code, str(theirs)], cwd=PROJECT, check=True)
        assert [folder.is_mount() for folder in (ours, theirs)] == [True, True]
        small_disk.unmount_left_over()
        assert [folder.is_mount() for folder in (ours, theirs)] == [True, False]
    finally:
        small_disk.unmount(ours)
