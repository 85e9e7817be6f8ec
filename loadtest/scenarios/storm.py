"""A storm on blocked accounts: clients that go on guessing long after the block."""

from __future__ import annotations

import random

from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import BLOCKED, WRONG


class Stormer(Client):
    """One of many clients that do not stop guessing at accounts that are blocked.

    The harm it simulates: refusals that cost as much as logins, so that a blocked account can be
    used to take the system down. Each refusal must be cheap, and each account stay blocked and
    listed for as long as it lasts.
    """

    count = 10
    must_see = frozenset({WRONG, BLOCKED})
    wait_time = constant(0.02)

    @task
    def insist(self) -> None:
        """Guess again. The first guesses of all block the accounts."""
        self.login(random.choice(self.accounts), right=False)
