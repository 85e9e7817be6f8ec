"""The files of the keys that sign records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from events import signing_keys
from events.signing_keys import (
    ROLES_OF,
    KeyFile,
    drop_key,
    grant,
    granted,
    make,
    new_key,
    parse,
    retire,
    sign_with,
    withdraw,
)
from processes import new_file
from settings import SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With new keys."""
    make(tmp_path / "keys")
    return tmp_path / "keys"


def ids(folder: Path, part: str, role: str) -> list[str]:
    """The keys of this role in a part's file."""
    return [key.id for key in parse((folder / f"{part}.json").read_bytes()) if key.role == role]


def test_each_part_has_the_keys_that_it_needs_and_no_others(folder: Path) -> None:
    """A login process that could read an operator's key could lift blocks."""
    for part, roles in ROLES_OF.items():
        keys = parse((folder / f"{part}.json").read_bytes())
        assert {key.role for key in keys} == set(roles)
        assert (folder / f"{part}.json").stat().st_mode & 0o777 == 0o600
    assert "policy" not in ROLES_OF["gateway"] + ROLES_OF["operator"]
    assert "operator" not in ROLES_OF["gateway"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_operator_port_may_be_given_the_key_of_the_policy(folder: Path) -> None:
    """Nobody else, and until it is taken back: making and replacing keys changes nothing there."""
    before = {part: (folder / f"{part}.json").read_bytes() for part in ROLES_OF}
    port = KeyFile(folder, "operator")
    assert "policy" not in port.current().signing
    grant(folder, "operator", "policy")
    assert granted(folder, "operator") == ("policy",)
    [old] = ids(folder, "operator", "policy")
    assert port.find(bytes.fromhex(old)) is not None
    assert port.current().signing["policy"].id == old
    assert (folder / "gateway.json").read_bytes() == before["gateway"]
    new = new_key(folder, "policy")
    assert ids(folder, "operator", "policy") == [old, new]
    sign_with(folder, new)
    drop_key(folder, old)
    assert ids(folder, "operator", "policy") == [new]
    assert KeyFile(folder, "operator").current().signing["policy"].id == new
    assert ids(folder, "gateway", "policy") == []
    withdraw(folder, "operator")
    assert granted(folder, "operator") == ()
    assert ids(folder, "operator", "policy") == []
    assert ids(folder, "workers", "policy") == [new]


def test_keys_that_are_there_are_not_made_anew(folder: Path) -> None:
    """Everything in the log would be unbelievable."""
    before = (folder / "workers.json").read_bytes()
    with pytest.raises(FileExistsError):
        make(folder)
    assert (folder / "workers.json").read_bytes() == before


def test_a_key_is_replaced_step_by_step(folder: Path) -> None:
    """Everybody knows a key before anybody signs by it."""
    keys = KeyFile(folder, "workers")
    [old] = ids(folder, "workers", "gateway")
    new = new_key(folder, "gateway")
    assert ids(folder, "gateway", "gateway") == ids(folder, "workers", "gateway") == [old, new]
    assert ids(folder, "operator", "gateway") == [old, new]
    found = keys.find(bytes.fromhex(new))
    assert found is not None, "an unknown key is looked for at once"
    assert keys.current().signing["gateway"].id == old
    sign_with(folder, new)
    assert KeyFile(folder, "gateway").current().signing["gateway"].id == new
    retire(folder, old, 5)
    retired = KeyFile(folder, "workers").find(bytes.fromhex(old))
    assert retired is not None
    assert retired.until_ms == 5
    drop_key(folder, old)
    assert ids(folder, "gateway", "gateway") == ids(folder, "workers", "gateway") == [new]


def test_a_key_is_retired_once(folder: Path) -> None:
    """A second time would believe what was signed by it in between, by whoever has it."""
    [old] = ids(folder, "workers", "gateway")
    new_key(folder, "gateway")
    for now_ms in (5, 7):
        retire(folder, old, now_ms)
    retired = KeyFile(folder, "workers").find(bytes.fromhex(old))
    assert retired is not None
    assert retired.until_ms == 5


@pytest.mark.parametrize("change", [lambda f, k: retire(f, k, 5), drop_key])
def test_some_key_of_each_role_signs(folder: Path, change) -> None:
    """Without one, every login would be refused."""
    [only] = ids(folder, "workers", "operator")
    with pytest.raises(ValueError, match="no key of the role operator would sign"):
        change(folder, only)
    assert ids(folder, "operator", "operator") == [only]
    with pytest.raises(ValueError, match="no key 00000000"):
        drop_key(folder, "00000000")


def test_a_retired_key_does_not_sign_again(folder: Path) -> None:
    """What is signed by it is not believed."""
    [old] = ids(folder, "workers", "gateway")
    new_key(folder, "gateway")
    retire(folder, old, 5)
    with pytest.raises(ValueError, match="retired"):
        sign_with(folder, old)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.chmod(0o604), "chmod 600"),
        (lambda path: path.chmod(0o620), "chmod 600"),
        (lambda path: path.write_text("{}"), "no file of signing keys"),
        (lambda path: path.write_bytes(b"\xff"), "no file of signing keys"),
        (lambda path: path.write_text('{"keys": []}'), "no key of the role"),
        (lambda path: path.write_bytes((path.parent / "workers.json").read_bytes()), "not this"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_a_way_out(folder, spoil, why) -> None:
    """It names the setting, and nothing of a key."""
    spoil(folder / "gateway.json")
    with pytest.raises(SettingsError, match=why) as caught:
        KeyFile(folder, "gateway")
    assert "CERROJO_SIGNING_KEYS" in str(caught.value)
    for key in parse((folder / "workers.json").read_bytes()):
        assert key.secret not in str(caught.value)
        assert key.secret not in repr(key)


@pytest.mark.parametrize("last", [1, 2])
def test_a_change_that_fails_leaves_all_files_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Whatever file the disk has no room for; nor is anything left beside them."""
    new = new_key(folder, "gateway")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    written: list[int] = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > last:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        sign_with(folder, new)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def rename_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file can be replaced, and no other."""
    rename, renamed = Path.replace, []

    def busy(path: Path, target: Path) -> Path:
        if renamed:
            raise OSError(16, "Device or resource busy")
        renamed.append(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", busy)


def test_files_of_which_one_cannot_be_replaced_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is a mount of its own: some have the change."""
    new = new_key(folder, "gateway")
    rename_once(monkeypatch)
    with pytest.raises(
        signing_keys.PartlyWrittenError, match=r"in gateway\.json, and operator\.json .*busy.*show"
    ):
        sign_with(folder, new)
    assert ids(folder, "gateway", "gateway")[0] == new
    assert not list(folder.glob(".*"))


def test_keys_of_which_some_file_cannot_be_made_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not "gateway.json is there already" ever after."""
    with monkeypatch.context() as patch:
        rename_once(patch)
        with pytest.raises(OSError, match="busy"):
            make(tmp_path)
    assert not list(tmp_path.iterdir())
    make(tmp_path)


def test_two_keys_never_have_one_id(folder: Path) -> None:
    """The second one could not be checked by."""
    content = json.loads((folder / "workers.json").read_bytes())
    content["keys"] *= 2
    with pytest.raises(ValueError, match="same id"):
        parse(json.dumps(content).encode())


@pytest.mark.parametrize("spoiled", ["{}", None])
def test_a_file_that_goes_bad_leaves_the_keys_as_they_are(folder, spoiled, monkeypatch) -> None:
    """A mistake in a file stops no running process; it is said once, and the next file counts."""
    said: list[str] = []
    monkeypatch.setattr(
        signing_keys.logger, "error", lambda event, **_: said.append(event), raising=False
    )
    keys = KeyFile(folder, "gateway")
    before, good = keys.current(), (folder / "gateway.json").read_bytes()
    path = folder / "gateway.json"
    if spoiled is None:
        path.unlink()
    else:
        path.write_text(spoiled)
    for _ in range(3):
        assert keys.find(b"none") is None
    assert keys.current() == before
    assert len(said) == 1
    path.write_bytes(good)
    path.chmod(0o600)
    new = new_key(folder, "gateway")
    assert keys.find(bytes.fromhex(new)) is not None


def test_keys_count_as_soon_as_their_file_has_the_mode_that_was_asked_for(folder: Path) -> None:
    """`chmod` changes neither the content nor its time, and the sentence in the log asks for it."""
    keys = KeyFile(folder, "gateway")
    path = folder / "gateway.json"
    path.chmod(0o644)
    new = bytes.fromhex(new_key(folder, "gateway"))
    assert keys.find(new) is None
    path.chmod(0o600)
    assert keys.find(new) is not None
