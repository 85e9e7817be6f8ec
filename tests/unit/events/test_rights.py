"""The file of Kafka's users says what it means, or is refused without saying a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.rights import User, read_users
from settings import SettingsError


def test_a_line_is_a_part_a_user_and_perhaps_a_password(tmp_path: Path) -> None:
    """A user without one comes by a certificate, whose name it has."""
    path = tmp_path / "users"
    path.write_text("gateway cerrojo_gateway a-word\n\nworkers CN=workers,O=Example\n")
    assert read_users(path) == [
        User("gateway", "cerrojo_gateway", "a-word"),
        User("workers", "CN=workers,O=Example", None),
    ]


@pytest.mark.parametrize(
    "line", ["gateway", "somebody a-name a-word", "gateway a-name a-word another-word"]
)
def test_a_line_that_is_none_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    """And without what it has, which may be a password."""
    path = tmp_path / "users"
    path.write_text(f"workers a-name a-word\n{line}\n")
    with pytest.raises(SettingsError, match=r"CERROJO_KAFKA_USERS_FILE is .*its line 2") as caught:
        read_users(path)
    assert "a-word" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """With the setting's name, as for every file that a setting names."""
    with pytest.raises(SettingsError, match=r"CERROJO_KAFKA_USERS_FILE is .*No such file"):
        read_users(tmp_path / "missing")
