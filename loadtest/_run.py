"""What one run of a load test knows: its settings, its accounts and its ledger."""

from __future__ import annotations

import os
import secrets
from math import inf

import settings
from loadtest._judge import Ledger, Rules


class Run:
    """The names and the rules of a run.

    Its processes share the name of the run by ``LOADTEST_RUN``, and so the accounts; runs do not
    share them, or one would find the other's accounts blocked.
    """

    def __init__(self) -> None:
        config = settings.load()
        self.name = os.environ.setdefault("LOADTEST_RUN", "load" + secrets.token_hex(4))
        self.login_url = os.environ.get("LOGIN_URL") or _url(config.login_host, config.login_port)
        self.operator_url = os.environ.get("OPERATOR_URL") or _url(
            config.operator_host, config.operator_port
        )
        # A client waits for longer than the gateway may take, so that a late answer is seen.
        self.patience_seconds = 2 * config.deadline_seconds + 5
        self.ledger = Ledger(
            Rules(
                config.policy_threshold,
                config.policy_window_seconds,
                config.policy_block_seconds or inf,
            )
        )

    def accounts(self, kind: str, count: int) -> list[str]:
        """The names of ``count`` accounts for one kind of client."""
        return [f"{self.name}-{kind.lower()}-{number}" for number in range(count)]


def password(account: str) -> str:
    """The right password of an account of a load test."""
    return f"the password of {account}"


def _url(host: str, port: int) -> str:
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 a comparison
