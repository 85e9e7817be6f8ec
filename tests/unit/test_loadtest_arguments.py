"""What ``make loadtest`` makes of its variables."""

from __future__ import annotations

import pytest

from loadtest.__main__ import arguments


def test_empty_variables_are_defaults() -> None:
    """The Makefile passes on what was not given as an empty text."""
    made = arguments({"SCENARIO": "", "USERS": "", "TIME": ""})
    assert made == arguments({})
    assert any(argument.endswith("mix.py") for argument in made)
    assert any(argument.startswith("--run-time=") for argument in made)


@pytest.mark.parametrize("scenario", ["morning", "one_account", "mix"])
def test_every_scenario_is_found(scenario: str) -> None:
    """Each scenario is the file of its name."""
    assert any(a.endswith(f"{scenario}.py") for a in arguments({"SCENARIO": scenario}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCENARIO", "_judge"),
        ("SCENARIO", "../settings"),
        ("USERS", "0"),
        ("USERS", "5001"),
        ("USERS", "many"),
        ("TIME", "5"),
        ("TIME", "0s"),
        ("TIME", "soon"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    """The sentence has the variable and the value in it."""
    with pytest.raises(ValueError, match=f"^{name} is '{value}'"):
        arguments({name: value})
