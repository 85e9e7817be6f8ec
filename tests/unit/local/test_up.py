"""What `make up` does before it starts anything."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from local import up
from local.errors import LocalError
from processes.orphans import OrphanError
from settings import Settings


@pytest.fixture(autouse=True)
def nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no system, and the signals are the tests'."""
    monkeypatch.setattr(up, "System", lambda *_: SimpleNamespace(manager=None))
    monkeypatch.setattr(up, "stop_signals", lambda _: None)


def fail(sentence: str) -> None:
    """Raise the error of `local`."""
    raise LocalError(sentence)


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_run_may_let_its_ports_go_a_little_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    killed: bool,
) -> None:
    """Its login processes outlive its gateway; after any other run a taken port is a stranger's."""
    (tmp_path / "run").mkdir()
    if killed:
        (tmp_path / "run" / "gateway.pid").write_text("1\n1\nof another boot\n")
    looks = iter(["taken", "taken"])
    monkeypatch.setattr(up, "check_ports", lambda _: [fail(look) for look in looks])
    monkeypatch.setattr(up, "Addresses", lambda *_: fail("all ports are free"))
    assert up.run(Settings(data_dir=tmp_path)) == 1
    assert capsys.readouterr().err == ("all ports are free\n" if killed else "taken\n")


def test_what_stands_in_the_way_of_a_start_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a process that survives SIGKILL nor a file that cannot be is a traceback."""
    monkeypatch.setattr(up, "check_ports", lambda _: fail("all ports are free"))
    logs = tmp_path / "logs"
    logs.touch()
    assert up.run(Settings(data_dir=tmp_path)) == 1
    assert capsys.readouterr().err.startswith(f"{logs} cannot be used: File exists. Make room")
    logs.unlink()

    def survives(*_: object) -> list[str]:
        raise OrphanError("Process 7 survives.")

    monkeypatch.setattr(up.orphans, "stop_all", survives)
    assert up.run(Settings(data_dir=tmp_path)) == 1
    assert capsys.readouterr().err == "Process 7 survives.\n"
