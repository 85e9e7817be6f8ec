"""Blocks by hand, as the command asks for them."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from cerrojo import blocks
from cerrojo.__main__ import application
from cerrojo.ports import RefusalError, UnansweredError
from workers.commands.errors import CommandError


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("30min", 1800), ("2m", 120), ("7d", 604_800)]
)
def test_a_length_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    """As people write it."""
    assert blocks.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "1.5h", "1 h", "1y"])
def test_another_text_is_no_length(text: str) -> None:
    """With the way to write it."""
    with pytest.raises(ValueError, match="write it as 90s, 30min, 2h or 7d"):
        blocks.seconds_of(text)


@pytest.mark.parametrize(
    ("error", "others"),
    [
        (CommandError("Nothing answers."), "ben and those after it are not"),
        (RefusalError("Not now", "overloaded"), "ben and those after it are not"),
        (UnansweredError("No answer came."), "ben may be, those after it are not"),
    ],
)
def test_a_list_of_which_a_part_is_unblocked_says_which(
    monkeypatch: pytest.MonkeyPatch, error: CommandError, others: str
) -> None:
    """Also where the gateway goes away in between."""

    class Port:
        """The operator port."""

        def ask(self, _method: str, path: str, _body: Any) -> Any:
            if path.endswith("ben"):
                raise error

    monkeypatch.setattr(blocks, "operator_port", lambda _: Port())
    done = CliRunner().invoke(application("unblock", "block"), ["unblock", "ana", "ben", "cleo"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"1 accounts are unblocked, and {others}: {error}")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {}),
        (["--for", "2h"], {"seconds": 7200}),
        (["--for", "0s"], {"seconds": 0}),  # which the port refuses
    ],
)
def test_a_block_is_for_the_length_that_was_said(
    monkeypatch: pytest.MonkeyPatch, options: list[str], asked: dict[str, int]
) -> None:
    """And until it is lifted only where none was."""
    bodies: list[Any] = []

    class Port:
        """The operator port."""

        def ask(self, _method: str, _path: str, body: Any) -> Any:
            bodies.append(body)
            return {"until": None}

    monkeypatch.setattr(blocks, "operator_port", lambda _: Port())
    done = CliRunner().invoke(
        application("blocked", "block"), ["block", "ana", "--reason", "a test", *options]
    )
    assert done.exit_code == 0, done.output
    assert bodies == [{"reason": "a test", **asked}]
