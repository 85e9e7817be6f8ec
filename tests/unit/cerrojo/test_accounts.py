"""What the command for accounts writes to, and what it leaves as it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cerrojo import accounts
from cerrojo.__main__ import application


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe with a name, and the end from which what is written can be read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, end
    os.close(end)


def test_a_pipe_or_a_device_takes_an_export(pipe: tuple[Path, int]) -> None:
    """It is not replaced by a file: as root, `/dev/null` would be."""
    path, end = pipe
    with accounts._writing(str(path)) as file:
        file.write(b"ana")
    assert os.read(end, 9) == b"ana"
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(path.parent.iterdir()) == [path]


def test_a_pipe_or_a_device_takes_a_report(pipe: tuple[Path, int]) -> None:
    """In the same way."""
    path, end = pipe
    with accounts._Report(path):
        pass
    assert os.read(end, 99).startswith(b"line,")
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_report_does_not_replace_what_is_imported(tmp_path: Path) -> None:
    """Before anything is read, and under whatever name."""
    file, link = tmp_path / "users.csv", tmp_path / "link"
    file.write_text("user,hash")
    link.symlink_to(file)
    done = CliRunner().invoke(
        application("accounts", "blocked"), ["accounts", "import", str(file), "--report", str(link)]
    )
    assert done.exit_code != 0
    assert "Name another file" in done.stderr
    assert file.read_text() == "user,hash"
