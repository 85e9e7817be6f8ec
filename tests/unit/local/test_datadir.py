"""The data directory is its owner's, and one system's at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from local import datadir
from local.errors import LocalError


def test_a_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """It holds a password and everybody's hashes."""
    path = datadir.create(tmp_path / "new" / "data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_an_existing_data_directory_keeps_its_permissions(tmp_path: Path) -> None:
    """Permissions of folders that exist are not ours to change."""
    tmp_path.chmod(0o755)
    assert datadir.create(tmp_path) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_path_that_cannot_be_passed_on_is_refused(tmp_path: Path, name: str) -> None:
    """Clients and Java would read it as two."""
    with pytest.raises(LocalError, match="CERROJO_DATA_DIR"):
        datadir.create(tmp_path / name)


def test_a_second_system_in_one_directory_is_refused(tmp_path: Path) -> None:
    """The sentence has the first one's pid."""
    with (
        datadir.only_one(tmp_path),
        pytest.raises(LocalError, match=f"in use by process {os.getpid()}\\."),
        datadir.only_one(tmp_path),
    ):
        pass


def test_a_directory_is_free_again(tmp_path: Path) -> None:
    """The directory that one system held, the next may hold."""
    for _ in range(2):
        with datadir.only_one(tmp_path):
            pass
