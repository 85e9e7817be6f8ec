"""What goes to a terminal and what into a pipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cerrojo import output
from tests.fuzz.mutations import TEXTS
from workers.commands.errors import CommandError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdout is one, of 80 columns and no colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(output, "in_terminal", lambda: True)


def test_a_pipe_gets_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with every name as it is."""
    output.show({"users": ["añá", "[bold]"]}, "for people")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert json.loads(said) == {"users": ["añá", "[bold]"]}


@pytest.mark.parametrize("terminal", [True, False])
def test_what_cannot_be_written_is_a_sentence(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a traceback, and it does not say that nothing was done."""
    monkeypatch.setattr(output, "in_terminal", lambda: terminal)
    sentence = r"stdout cannot be written: No space .* stays so\."
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(CommandError, match=sentence):
            output.show({}, "for people")
        assert full.closed


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_what_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A text is no markup, and is not wrapped."""
    output.show({}, f"[bold]{'x' * 100}\nand a line")
    assert capsys.readouterr().out == f"[bold]{'x' * 100}\nand a line\n"


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("text", [*TEXTS, "ana\u202e", "a\nb", "[red]a"], ids=ascii)
def test_no_text_of_others_moves_a_cursor(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a table: a name or a user agent would choose what an operator sees."""
    output.show({}, output.table(["user"], [[text]], ""))
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.strip() == "user"
    assert all(row.isprintable() for row in rows)


def test_numbers_stand_to_the_right() -> None:
    """And None is a dash."""
    console = Console(width=40)
    with console.capture() as captured:
        console.print(output.table(["user", "lag"], [["ana", 7], ["ben", None], ["eve", 1234]], ""))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert lines[1:] == ["ana      7", "ben      -", "eve   1234"]


def test_an_empty_table_is_a_sentence() -> None:
    """That says so."""
    assert str(output.table(["user"], [], "Nobody is blocked.")) == "Nobody is blocked."


def test_what_is_said_on_stderr_has_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """But for its own lines."""
    output.report("one\ntwo \x1b[2J")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "one\ntwo \\x1b[2J\n")
