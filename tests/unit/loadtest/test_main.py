"""The settings that ``make loadtest`` makes of its variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import __main__ as loadtest

RESULTS = Path("results")
SCENARIOS = [path.stem for path in loadtest.SCENARIOS.glob("[!_]*.py")]


def arguments(**variables: str) -> list[str]:
    """Locust's command line."""
    return loadtest.arguments(variables, RESULTS)


def test_empty_variables_are_defaults() -> None:
    """The Makefile passes on what was not given as an empty text."""
    names = ("SCENARIO", "USERS", "TIME", "UI", "PROCESSES", "MASTER", "WORKERS", "THRESHOLD")
    made = arguments(**dict.fromkeys(names, ""))
    assert made == arguments()
    assert f"--locustfile={loadtest.SCENARIOS / 'mix.py'}" in made
    assert "--html=results/report.html" in made
    assert "--headless" in made


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_found(scenario: str) -> None:
    """Each file is a scenario with a number of clients of its own."""
    assert f"--locustfile={loadtest.SCENARIOS / scenario}.py" in arguments(SCENARIO=scenario)


def test_every_scenario_has_a_file() -> None:
    """And each that is offered can be run."""
    assert sorted(SCENARIOS) == sorted(loadtest.USERS)
    assert set(loadtest.TIMES) < set(SCENARIOS)


def test_several_processes_talk_on_loopback_by_one_port() -> None:
    """Locust's own default would be all addresses."""
    made = arguments(PROCESSES="3")
    options = dict(argument.split("=", 1) for argument in made if "=" in argument)
    assert options["--processes"] == "3"
    assert options["--master-bind-host"] == options["--master-host"] == "127.0.0.1"
    assert options["--master-bind-port"] == options["--master-port"] != "5557"


def test_a_master_waits_for_its_workers() -> None:
    """On loopback, unless it is told an address."""
    made = arguments(WORKERS="2", USERS="10")
    wanted = {"--master", "--expect-workers=2", "--master-bind-host=127.0.0.1", "--users=10"}
    assert wanted <= set(made)
    assert "--master-bind-host=10.0.0.1" in arguments(WORKERS="2", MASTER_BIND="10.0.0.1")


def test_a_worker_only_joins_its_master() -> None:
    """It runs what it is told to, and writes no report."""
    made = arguments(MASTER="there:99", SCENARIO="soak", USERS="10", PROCESSES="4")
    assert made[3:] == ["--worker", "--master-host=there", "--master-port=99", "--processes=4"]
    assert "--master-port=5557" in arguments(MASTER="there")


def test_the_web_page_is_on_loopback() -> None:
    """It has no login of its own."""
    made = arguments(UI="1", UI_PORT="8100")
    assert {"--web-host=127.0.0.1", "--web-port=8100"} <= set(made)
    assert "--headless" not in made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCENARIO", "judge"),
        ("SCENARIO", "__init__"),
        ("SCENARIO", "../settings"),
        ("USERS", "0"),
        ("USERS", "50001"),
        ("USERS", "many"),
        ("TIME", "5"),
        ("TIME", "0s"),
        ("TIME", "soon"),
        ("PROCESSES", "-1"),
        ("WORKERS", "none"),
        ("MASTER", ":5557"),
        ("MASTER", "there:here"),
        ("THRESHOLD", "0"),
        ("P99_MS", "fast"),
        ("STEP", "0"),
        ("CORES", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    """The sentence has the variable and the value in it."""
    with pytest.raises(ValueError, match=f"^{name} is '{value}'"):
        arguments(**{name: value})


@pytest.mark.parametrize("other", [{"MASTER": "there"}, {"PROCESSES": "2"}])
def test_two_roles_at_once_are_refused(other: dict[str, str]) -> None:
    """A master has no clients of its own."""
    with pytest.raises(ValueError, match="WORKERS"):
        arguments(WORKERS="2", **other)
