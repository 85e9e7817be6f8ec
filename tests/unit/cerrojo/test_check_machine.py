"""Files, disks and ports as the doctor sees them."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from pathlib import Path

import pytest

from cerrojo.check_machine import check_disks, check_files, check_hosts
from cerrojo.findings import Finding, State
from events.signing_keys import make
from gateway import device_keys, guess_keys, session_keys
from local import tcp_ports
from settings import Settings


def states(found: list[Finding]) -> list[State]:
    """How each is."""
    return [finding.state for finding in found]


def test_good_files_are_said_to_be_good(tmp_path: Path) -> None:
    """Each by its setting; those of the keys of records by their names."""
    make(tmp_path / "keys")
    session_keys.new_key(tmp_path / "sessions")
    device_keys.new_key(tmp_path / "devices")
    guess_keys.make(tmp_path / "guesses", 900, time.time())
    (tmp_path / "peppers").write_text(f"a {'ab' * 32}\n")
    (tmp_path / "tokens").write_text("")
    settings = Settings(
        signing_keys=tmp_path / "keys",
        session_keys_file=tmp_path / "sessions",
        device_keys_file=tmp_path / "devices",
        guess_keys_file=tmp_path / "guesses",
        pepper_file=tmp_path / "peppers",
        service_tokens_file=tmp_path / "tokens",
    )
    found = list(check_files(settings))
    assert states(found) == [State.OK] * 8


@pytest.mark.parametrize(
    "field",
    ["session_keys_file", "device_keys_file", "guess_keys_file", "pepper_file"],
)
@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_a_bad_file_is_named_by_its_setting(
    field: str, content: bytes | None, tmp_path: Path
) -> None:
    """One that is not there, too; nothing that stands in it is shown."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    *_, found = check_files(Settings(**{field: path}))
    assert found.state == State.FAILED
    assert f"CERROJO_{field.upper()}" in found.sentence
    assert "nonsense" not in found.sentence


def test_keys_of_records_that_others_can_read_are_found(tmp_path: Path) -> None:
    """So are those that are nowhere; a host need not have those of all parts."""
    (found,) = check_files(Settings())
    assert found.state == State.WARNING
    (found,) = check_files(Settings(signing_keys=tmp_path))
    assert found.state == State.FAILED
    assert "no file of keys" in found.sentence
    make(tmp_path / "keys")
    (tmp_path / "keys" / "workers.json").unlink()
    (tmp_path / "keys" / "gateway.json").chmod(0o644)
    found, operators = check_files(Settings(signing_keys=tmp_path / "keys"))
    assert (found.state, operators.state) == (State.FAILED, State.OK)
    assert "chmod 600" in found.sentence


@pytest.mark.parametrize(
    ("free", "state"), [(50, State.OK), (15, State.OK), (14, State.WARNING), (4, State.FAILED)]
)
def test_a_disk_is_judged_by_what_is_free(
    free: int, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the shares of the alerts, and each disk once."""
    usage = namedtuple("usage", "total used free")(100, 100 - free, free)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr("tempfile.gettempdir", lambda: os.fspath(tmp_path))
    (found,) = check_disks(Settings(data_dir=tmp_path, signing_keys=tmp_path / "none"))
    assert found.state == state
    assert f"{free}% of the disk" in found.sentence


def test_a_gateway_is_needed_and_workers_may_be_elsewhere() -> None:
    """Where nothing answers at either."""
    ports = [tcp_ports.choose("127.0.0.1") for _ in range(2)]
    found = list(check_hosts(Settings(operator_port=ports[0], workers_port=ports[1])))
    assert states(found) == [State.FAILED, State.WARNING]
