"""The page of the policy has its values as the command and the settings have them."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer.main import get_command

from cerrojo.__main__ import application
from events.messages import POLICY_LIMITS
from settings import FIELDS
from tests.paths import PROJECT

PAGE = (PROJECT / "docs" / "policy.md").read_text()
UNITS = {"WINDOW_SECONDS": 1_000, "BLOCK_SECONDS": 1_000, "BLOCK_MAX_SECONDS": 1_000}
UNITS |= {"FORGET_DAYS": 86_400_000, "FORGET_EACH_DAYS": 86_400_000}
"""Milliseconds, in which the policy has them, of each unit of the page."""

EXAMPLES = sorted(
    {found for found in re.findall(r"`(--[^`]+)`", PAGE) if " " in found}
    | set(re.findall(r"cerrojo policy (--[^`\n]+)", PAGE))
)


def command() -> Any:
    """`cerrojo policy`, as typer knows it."""
    return get_command(application()).commands["policy"]


def rows() -> list[list[str]]:
    """The cells of the table of values: option, setting, default, least and most."""
    _, _, rest = PAGE.partition("settings and their bounds -->\n")
    table, _, _ = rest.partition("<!-- /policy -->")
    found = []
    for line in table.splitlines()[2:]:
        _, option, setting, default, bounds = (cell.strip(" `") for cell in line[1:-1].split("|"))
        found.append([option, setting, default, *bounds.split(" to ")])
    return found


def test_each_value_is_there_once() -> None:
    """With its option, and the setting that gives the first policy. A reason is no value."""
    options = [*(row[0] for row in rows()), "--reason"]
    assert options == [option for parameter in command().params for option in parameter.opts]
    settings = [field.variable for name, field in FIELDS.items() if name.startswith("policy_")]
    assert sorted(row[1] for row in rows()) == sorted(settings)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_value_has_its_default_and_its_bounds(row: list[str]) -> None:
    """The default is the setting's, the bounds are those of the message."""
    _, setting, default, *bounds = row
    name = setting.removeprefix("CERROJO_POLICY_")
    of_the_setting = FIELDS[f"policy_{name.lower()}"].default
    assert default == (of_the_setting if bounds == [""] else f"{of_the_setting:g}")
    unit = UNITS.get(name, 1)
    field = re.sub("_SECONDS$|_DAYS$", "_ms", name).lower()
    limits = [limit / unit for limit in POLICY_LIMITS.get(field, ())]
    assert [float(bound) for bound in bounds if bound] == limits


@pytest.mark.parametrize("options", EXAMPLES)
def test_an_example_can_be_run(options: str) -> None:
    """Its options and their values are ones that the command takes."""
    known = command().make_context("policy", shlex.split(options))
    assert set(known.params.values()) != {None}


def test_there_are_examples() -> None:
    """Else nothing would be looked at."""
    assert len(EXAMPLES) >= 5
