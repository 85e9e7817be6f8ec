"""What the doctor says where it cannot look at anything."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cerrojo import doctor
from cerrojo.__main__ import application


def test_settings_that_cannot_be_used_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its name, as JSON, and the exit code says so."""
    monkeypatch.setenv("CERROJO_LOGIN_PORT", "99999")
    monkeypatch.setenv("CERROJO_BROKERS", "2")
    done = CliRunner().invoke(application(), ["doctor"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert {finding["state"] for finding in said["checks"]} == {"failed"}
    sentences = " ".join(finding["sentence"] for finding in said["checks"])
    assert "CERROJO_LOGIN_PORT" in sentences
    assert "CERROJO_BROKERS" in sentences


def test_what_is_nearly_a_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does nothing, and nobody says so else; other names that begin so may be anybody's."""
    for name in ("CERROJO_OPERATOR_READ", "CERROJO_LOGIN_PORT_FILE", "CERROJO_LOGIN_SERVICE_HOST"):
        monkeypatch.setenv(name, "x")
    told = {finding.sentence for finding in doctor._misspelt()}
    assert told == {
        "CERROJO_OPERATOR_READ is no setting, and does nothing. Is CERROJO_OPERATOR_READS meant?",
        "CERROJO_LOGIN_PORT_FILE is no setting, and does nothing. Is CERROJO_LOGIN_PORT meant?",
    }
