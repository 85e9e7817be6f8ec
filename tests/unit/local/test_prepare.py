"""A step that fails says why."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from local import prepare
from local.postgres import Postgres
from settings import Settings


def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A write's error has no name, so the folder is said."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Postgres, "prepare", full)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert prepare.run("postgres", Settings(data_dir=tmp_path)) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"A file in {tmp_path} cannot be used: No space left on device. Make")
