"""The work around a run, without a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from locust.env import Environment

from loadtest import hooks
from loadtest.client import Client
from loadtest.hooks import Hooks
from loadtest.scenarios.unblocking import Unblocked
from loadtest.system import System


class Asking(Client):
    """A client that lifts no blocks."""


def test_a_run_that_lifts_blocks_does_not_start_without_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others do."""
    system = System("http://login", "http://operator", 5.0)
    monkeypatch.setattr(hooks, "where", lambda: system)
    monkeypatch.setattr(system, "require_ready", lambda: None)
    for classes, starts in (([Asking], True), ([Asking, Unblocked], False)):
        environment = Environment(user_classes=classes)
        environment.parsed_options = type("Options", (), {"headless": False})()
        environment.create_local_runner()
        if starts:
            Hooks(Path("results")).prepare(environment)
        else:
            with pytest.raises(SystemExit, match="CERROJO_OPERATOR_TOKEN_FILE"):
                Hooks(Path("results")).prepare(environment)
