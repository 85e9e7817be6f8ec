"""The command as a whole: its exit codes, its version, its completion."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from cerrojo.__main__ import application
from version import describe


def test_it_says_its_version() -> None:
    """As the processes do."""
    assert CliRunner().invoke(application(), ["--version"]).stdout == f"{describe()}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_it(shell: str) -> None:
    """Commands that begin so."""
    words = {"bash": "cerrojo q", "zsh": "cerrojo q", "fish": "cerrojo q"}[shell]
    env = {
        "_CERROJO_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = CliRunner().invoke(application(), [], env=env, prog_name="cerrojo")
    assert "quarantine" in done.stdout
    assert "unblock" not in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["no-such-command"], 2, "No such command"),
        (["attempts", "ana", "-f", "--to", "2026"], 2, "Leave out --to, or --follow."),
        (["attempts", "ana", "--limit", "0"], 2, "--limit"),
        (["policy", "--block", "inf"], 2, "--block is inf. Give a number."),
        (["policy", "--threshold", "101"], 2, "--threshold must be from 1 to 100, and is 101."),
        (["policy", "--repeated", "never"], 2, "--repeated"),
        (["policy"], 1, "DATABASE_URL is not set. Set it to"),
        (["quarantine"], 1, "DATABASE_URL is not set. Set it to"),
        (["partitions"], 1, "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to"),
        (["accounts", "delete", "ana"], 2, "Give --yes"),
        (["unblock", "ana", "a\udcf1a"], 1, "is no text in UTF-8"),  # as the shell's Latin-1
        (["verify", "--days", "inf"], 2, "--days"),
        (["accounts", "import", "/nowhere"], 1, "DATABASE_URL is not set"),
    ],
)
def test_what_cannot_be_done_is_said_on_stderr(words: list[str], code: int, says: str) -> None:
    """2 where the command cannot be used so, 1 where it failed; a pipe gets nothing."""
    done = CliRunner().invoke(application(), words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in re.sub(r"[│\s]+", " ", done.stderr)


def test_ctrl_c_ends_it_in_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cerrojo.config.settings.load", stop)
    done = CliRunner().invoke(application(), ["policy"])
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Stopped.\n")


def test_every_command_says_what_it_is_for() -> None:
    """Each of them has help, down to the last one."""
    found = []

    def look(*words: str) -> None:
        done = CliRunner().invoke(application(), [*words, "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0
        assert len(done.stdout.splitlines()) > 3
        found.append(words)
        _, _, commands = done.stdout.partition("─ Commands ─")
        for name in re.findall(r"^│ ([a-z-]+) ", commands, re.MULTILINE):
            look(*words, name)

    look()
    assert ("keys", "signing", "retire") in found
    assert ("doctor",) in found
