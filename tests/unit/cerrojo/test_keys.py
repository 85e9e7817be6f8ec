"""The commands for files of keys and tokens: what they do, and that they show no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cerrojo.__main__ import application
from events import signing_keys
from gateway import device_keys, session_keys, tokens
from gateway.tokens import Scope


def run(*words: object) -> Result:
    """The command in a pipe."""
    return CliRunner().invoke(application(), [str(word) for word in words])


def said(*words: object) -> Any:
    """What it says, where it was done."""
    done = run(*words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["session", "device"])
def test_keys_are_replaced_step_by_step(kind: str, tmp_path: Path) -> None:
    """It is said which one signs now, and never a key."""
    file = tmp_path / "keys"
    first = said("keys", kind, "new-key", file)
    assert first == {"file": str(file), "signs": first["signs"], "verify": []}
    second = said("keys", kind, "new-key", file, "--last")
    (added,) = second["verify"]
    assert second["signs"] == first["signs"]
    swapped = said("keys", kind, "sign-with", file, added)
    assert (swapped["signs"], swapped["verify"]) == (added, [first["signs"]])
    dropped = said("keys", kind, "drop-key", file, first["signs"])
    assert (dropped["signs"], dropped["verify"]) == (added, [])
    parse = session_keys.parse if kind == "session" else device_keys.parse
    assert parse(file.read_bytes())


@pytest.mark.parametrize("kind", ["session", "device"])
@pytest.mark.parametrize("words", [("drop-key", "the last"), ("drop-key", "x"), ("sign-with", "x")])
def test_a_change_that_cannot_be_leaves_the_file(
    kind: str, words: tuple[str, str], tmp_path: Path
) -> None:
    """And says why, on stderr."""
    file = tmp_path / "keys"
    signs = said("keys", kind, "new-key", file)["signs"]
    before = file.read_bytes()
    command, key = words
    done = run("keys", kind, command, file, signs if key == "the last" else key)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file} stays as it is: it has no key")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("session", "new-key"), ("device", "new-key"), ("signing", "make"), ("guess",)]
)
def test_a_change_that_cannot_be_said_is_not_denied(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever believed it would make the keys again."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cerrojo.output.show_line", full)
    done = run("keys", *words, tmp_path / "keys")
    assert done.exit_code == 1
    assert (tmp_path / "keys").exists()
    assert "stays as it is" not in done.stderr


def test_keys_of_records_are_listed_without_secrets(tmp_path: Path) -> None:
    """Through all steps of a new one."""
    folder = tmp_path / "keys"
    outputs = [run("keys", "signing", "make", folder).stdout]
    old = next(key["id"] for key in json.loads(outputs[0])["keys"] if key["role"] == "policy")
    outputs.append(run("keys", "signing", "new-key", "policy", folder).stdout)
    (new,) = {key["id"] for key in json.loads(outputs[1])["keys"]} - {
        key["id"] for key in json.loads(outputs[0])["keys"]
    }

    def states() -> dict[str, str]:
        shown = said("keys", "signing", "show", folder)["keys"]
        return {key["id"]: key["state"] for key in shown if key["role"] == "policy"}

    assert states() == {old: "signs", new: "checked by"}
    outputs.append(run("keys", "signing", "sign-with", new, folder).stdout)
    assert states() == {old: "checked by", new: "signs"}
    outputs.append(run("keys", "signing", "retire", old, folder).stdout)
    assert states() == {old: "retired", new: "signs"}
    secrets = [key.secret for key in signing_keys.all_keys(folder)]
    outputs.append(run("keys", "signing", "drop-key", old, folder).stdout)
    assert states() == {new: "signs"}
    assert not [secret for secret in secrets if secret in "".join(outputs)]
    again = run("keys", "signing", "make", folder)
    assert again.exit_code == 1
    assert "stays as it is" in again.stderr


def test_keys_of_records_are_listed_on_a_host_that_has_some_of_the_files(tmp_path: Path) -> None:
    """To compare hosts; and what one file has otherwise than another stands apart."""
    folder, all_files = tmp_path / "keys", {"workers.json", "operator.json", "gateway.json"}
    made = said("keys", "signing", "make", folder)["keys"]
    assert {key["role"]: set(key["files"]) for key in made} == {
        "gateway": all_files,
        "worker": all_files,
        "operator": all_files - {"gateway.json"},
        "policy": {"workers.json"},
    }
    (folder / "workers.json").unlink()
    shown = said("keys", "signing", "show", folder)["keys"]
    known = {key["id"]: key["state"] for key in made if key["role"] != "policy"}
    assert {key["id"]: key["state"] for key in shown} == known
    said("keys", "signing", "make", tmp_path / "others")
    (tmp_path / "others" / "gateway.json").replace(folder / "gateway.json")
    differ = said("keys", "signing", "show", folder)["keys"]
    files = [key["files"] for key in differ if key["role"] == "gateway"]
    assert files == [["operator.json"], ["gateway.json"]]
    for name in ("operator.json", "gateway.json"):
        (folder / name).unlink()
    none = run("keys", "signing", "show", folder)
    assert none.exit_code == 1
    assert "it has none of workers.json, operator.json, gateway.json" in none.stderr


def test_the_operator_port_is_allowed_to_change_the_policy_and_denied(tmp_path: Path) -> None:
    """Said each time, as it is a decision about security."""
    folder = tmp_path / "keys"
    assert said("keys", "signing", "make", folder)["operator_port_signs_policies"] is False
    assert said("keys", "signing", "allow-policy", folder)["operator_port_signs_policies"] is True
    assert said("keys", "signing", "show", folder)["operator_port_signs_policies"] is True
    assert said("keys", "signing", "deny-policy", folder)["operator_port_signs_policies"] is False
    assert run("keys", "signing", "allow-policy", tmp_path / "none").exit_code == 1


def test_keys_for_guesses_are_made_once(tmp_path: Path) -> None:
    """Other gateways may have those of the file."""
    assert said("keys", "guess", tmp_path / "keys") == {"file": str(tmp_path / "keys")}
    assert run("keys", "guess", tmp_path / "keys").exit_code == 1
    assert run("keys", "guess", tmp_path / "others", "--period", "59").exit_code == 2
    assert not (tmp_path / "others").exists()


def test_a_pepper_is_a_line_for_its_file() -> None:
    """As it is, in a pipe, too."""
    done = run("keys", "pepper", "2026")
    assert done.stdout.split()[0] == "2026"
    assert run("keys", "pepper", "a name").exit_code == 2


def test_a_token_is_alone_on_stdout_and_its_line_on_stderr(tmp_path: Path) -> None:
    """By default for what changes nothing."""
    made, lines = [], []
    for words in ([], ["--scopes", "attempts"], ["--scopes", "attempts,block"]):
        done = run("tokens", "new", "shop", *words)
        assert done.exit_code == 0
        line = done.stderr.splitlines()[-1]
        assert done.stdout.strip() not in done.stderr
        (token,) = tokens.parse(line.encode())
        made.append(token.scopes)
        lines.append(line)
    assert made == [{Scope.BLOCK}, {Scope.ATTEMPTS}, {Scope.ATTEMPTS, Scope.BLOCK}]
    (tmp_path / "tokens").write_text("\n".join(lines))
    listed = said("tokens", "list", tmp_path / "tokens")["tokens"]
    assert [token["scopes"] for token in listed] == [["block"], ["attempts"], ["attempts", "block"]]
    assert {token["service"] for token in listed} == {"shop"}


@pytest.mark.parametrize("words", [("shop", "--scopes", "all"), ("two words",), ("",)])
def test_a_token_that_the_file_cannot_hold_is_not_made(words: tuple[str, ...]) -> None:
    """With what it may be."""
    done = run("tokens", "new", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "use " in done.stderr


def test_a_terminal_gets_the_keys_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the ids that the next command needs."""
    monkeypatch.setattr("cerrojo.output.in_terminal", lambda: True)
    done = run("keys", "signing", "make", tmp_path / "signing")
    assert done.exit_code == 0, done.output
    for key in signing_keys.all_keys(tmp_path / "signing"):
        assert f"{key.id}  {key.role} " in done.stdout
