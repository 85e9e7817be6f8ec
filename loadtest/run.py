"""The knowledge of one run of a load test: where the system is, its accounts and its ledger."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, replace
from typing import Any

from locust.runners import Runner

import settings
from loadtest.ledger import Ledger, Rules
from loadtest.system import System

PATIENCE_SECONDS = 30.0  # of a client: longer than any gateway's deadline should be


class Run:
    """The name, the rules and the ledger of a run.

    Its processes share name and rules, and so the accounts; runs do not share accounts, or one
    would find the other's blocked.
    """

    def __init__(self, system: System, name: str, rules: Rules) -> None:
        self.system = system
        self.name = name
        self.ledger = Ledger(rules)
        self.processes = 1  # that have clients

    @classmethod
    def begin(cls, system: System) -> Run:
        """A new one, by the policy that the system says it has; or CannotStartError."""
        name = "load" + secrets.token_hex(4)
        rules = system.rules(f"{name}-probe")
        if expected := os.environ.get("THRESHOLD"):
            rules = replace(rules, threshold=int(expected))
        return cls(system, name, rules)

    @classmethod
    def join(cls, system: System, ticket: dict[str, Any]) -> Run:
        """The same one as another process', by what that one gave away."""
        run = cls(system, ticket["name"], Rules(**ticket["rules"]))
        run.processes = ticket["processes"]
        return run

    def ticket(self) -> dict[str, Any]:
        """All that another process needs in order to join."""
        rules = asdict(self.ledger.rules)
        return {"name": self.name, "rules": rules, "processes": self.processes}

    def accounts(self, kind: str, count: int) -> list[str]:
        """The names of ``count`` accounts for one kind of client."""
        return [f"{self.name}-{kind.lower()}-{number}" for number in range(count)]


def where() -> System:
    """Where LOGIN_URL and OPERATOR_URL say that it is, or the settings. Raises SettingsError."""
    config = settings.load()
    return System(
        os.environ.get("LOGIN_URL") or _url(config.login_host, config.login_port),
        os.environ.get("OPERATOR_URL") or _url(config.operator_host, config.operator_port),
        config.deadline_seconds,
        _token(config),
    )


def _token(config: settings.Settings) -> str:
    """The operator's, of the settings, or of a `make up` that runs in this folder; else empty.

    Raises SettingsError where the settings name a file that cannot be read.
    """
    try:
        return (
            config.operator_token()
            or (config.data_dir / settings.OPERATOR_TOKEN).read_text().strip()
        )
    except OSError:
        return ""


def options(runner: Runner | None) -> Any:
    """The options from Locust's command line, or from its web page."""
    assert runner is not None
    return runner.environment.parsed_options


def password(account: str) -> str:
    """The right password of an account of a load test."""
    return f"the password of {account}"


def _url(host: str, port: int) -> str:
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 a comparison
