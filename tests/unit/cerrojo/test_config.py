"""Which system a command is about."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerrojo import config
from local import datadir
from settings import OF_MAKE_UP

OURS = {
    "DATABASE_URL": "postgresql://127.0.0.1/ours",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "CERROJO_OPERATOR_PORT": "5010",
}


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a `make up` that runs, in a process environment of this test's own."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    folder = tmp_path / "data"
    folder.mkdir()
    os.environ["CERROJO_DATA_DIR"] = str(folder)
    with datadir.environment(folder) as tell:
        tell(OURS)
        yield folder


def test_beside_make_up_it_is_about_that_system(running: Path) -> None:
    """Without a word of its owner's; nobody else can read the file."""
    found = config.load()
    assert (found.database_url, found.operator_port) == (OURS["DATABASE_URL"], 5010)
    assert found.data_dir == running
    assert stat.S_IMODE((running / OF_MAKE_UP).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://127.0.0.1/other"),
        ("KAFKA_BOOTSTRAP_SERVERS", "other:9092"),
        ("CERROJO_OPERATOR_URL", "http://other:5000"),
        ("CERROJO_OPERATOR_PORT", "5000"),
    ],
)
@pytest.mark.usefixtures("running")
def test_an_environment_that_names_another_system_counts_alone(name: str, value: str) -> None:
    """Half of one and half of the other would be neither."""
    os.environ[name] = value
    found = config.load()
    assert OURS["DATABASE_URL"] != found.database_url
    assert OURS["KAFKA_BOOTSTRAP_SERVERS"] != found.kafka_bootstrap_servers


@pytest.mark.usefixtures("running")
def test_a_secret_in_a_file_names_another_system_too(tmp_path: Path) -> None:
    """As in containers."""
    (tmp_path / "url").write_text("postgresql://127.0.0.1/other")
    os.environ["DATABASE_URL_FILE"] = str(tmp_path / "url")
    assert config.load().database_url == "postgresql://127.0.0.1/other"
    assert config.load().kafka_bootstrap_servers is None


def test_after_make_up_nothing_is_left(tmp_path: Path) -> None:
    """However it ended, but for kill -9."""

    def fail() -> None:
        with datadir.environment(tmp_path) as tell:
            tell(OURS)
            assert (tmp_path / OF_MAKE_UP).exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
