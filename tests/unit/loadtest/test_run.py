"""What a run knows before it begins."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from loadtest.ledger import Rules
from loadtest.run import Run, where
from settings import OPERATOR_TOKEN, SettingsError


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a `make up` that has left nothing."""
    monkeypatch.setenv("CERROJO_DATA_DIR", str(tmp_path))
    for name in ("CERROJO_OPERATOR_TOKEN_FILE", "LOGIN_URL", "OPERATOR_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_token_is_that_of_the_settings_or_of_make_up(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    """Or there is none."""
    assert where().token == ""
    (data / OPERATOR_TOKEN).write_text("of make up\n")
    assert where().token == "of make up"
    (data / "ana").write_text("of ana\n")
    monkeypatch.setenv("CERROJO_OPERATOR_TOKEN_FILE", str(data / "ana"))
    assert where().token == "of ana"


def test_a_token_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    """And not left out, so that the run would fail at its end."""
    monkeypatch.setenv("CERROJO_OPERATOR_TOKEN_FILE", str(data / "nobody"))
    with pytest.raises(SettingsError, match=r"^CERROJO_OPERATOR_TOKEN_FILE is '.*nobody': No such"):
        where()


def test_a_slash_at_the_end_of_a_url_is_none_of_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`//readyz` is no page."""
    monkeypatch.setenv("LOGIN_URL", "http://login:3000/")
    monkeypatch.setenv("OPERATOR_URL", "http://operator:5000/")
    assert (where().login_url, where().operator_url) == (
        "http://login:3000",
        "http://operator:5000",
    )


def test_a_process_that_joins_knows_the_run() -> None:
    """Its accounts, and among how many processes its clients are one."""
    first = Run(where(), "load1", Rules(5, 900.0, inf))
    first.processes = 3
    joined = Run.join(where(), first.ticket())
    assert (joined.name, joined.processes) == ("load1", 3)
    assert joined.ledger.rules == first.ledger.rules
