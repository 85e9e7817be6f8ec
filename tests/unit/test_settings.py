"""Settings are documented, and a value that cannot be used is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import settings
from settings import Settings, SettingsError

README = Path(__file__).parents[2] / "README.md"


def table() -> str:
    """The README's table of settings, made from the settings."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else field.default
        if name == "hash_threads":
            default = "the cores"
        elif name == "replication":
            default = "1; with three brokers 3"
        lines.append(f"| `{settings.variable(name)}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_readme_has_every_setting_as_it_is():
    """Name, default and meaning; the assertion shows the table to paste."""
    text = README.read_text()
    _, _, rest = text.partition("<!-- settings: a test compares this table with settings.py -->\n")
    documented, _, _ = rest.partition("\n<!-- /settings -->")
    assert documented == table(), "\n" + table()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CERROJO_LOGIN_PORT", "99999"),
        ("CERROJO_PARTITIONS", "many"),
        ("CERROJO_DEADLINE_SECONDS", "0"),
        ("CERROJO_LOG_LEVEL", "loud"),
        ("CERROJO_POLICY_THRESHOLD", ""),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_its_meaning(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    """The sentence has the variable, what it holds, what is wrong, and what it is for."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    message = str(caught.value)
    assert message.startswith(f"{variable} is {value!r}: ")
    assert " It is " in message


def test_lanes_without_memory_are_refused(monkeypatch: pytest.MonkeyPatch):
    """Argon2 would refuse them only at the first password."""
    monkeypatch.setenv("CERROJO_ARGON2_MEMORY_KIB", "8")
    monkeypatch.setenv("CERROJO_ARGON2_PARALLELISM", "2")
    with pytest.raises(SettingsError, match=r"PARALLELISM is '2'.* 8 KiB for 2"):
        settings.load()


def test_all_bad_values_are_said_at_once(monkeypatch: pytest.MonkeyPatch):
    """Nobody has to start four times to learn of four mistakes."""
    monkeypatch.setenv("CERROJO_LOGIN_PORT", "x")
    monkeypatch.setenv("CERROJO_OPERATOR_PORT", "y")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("require", "variable"),
    [
        (Settings.require_database, "DATABASE_URL"),
        (Settings.require_kafka, "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_what_is_needed_and_not_set_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, require, variable: str
):
    """With an example, and the way that needs none."""
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SettingsError, match=f"{variable} is not set.*make up"):
        require(settings.load())


def test_the_readme_names_every_setting_once_only():
    """A table that was pasted twice is out of date in one place."""
    for name in Settings.model_fields:
        assert README.read_text().count(f"| `{settings.variable(name)}` |") == 1
