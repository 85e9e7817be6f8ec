"""Operators unblock accounts that are guessed at, and whose users come back."""

from __future__ import annotations

import random

from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import ACCEPTED, BLOCKED, FINAL, UNAVAILABLE, WRONG


class Unblocked(Client):
    """One of several clients of an account: its user, who guesses, and calls an operator.

    The harm it simulates: an unblocking that comes late, twice or not everywhere, so that it gives
    more guesses than five, or that the account stays refused although the operator was told that
    the block is lifted. An operator who is answered 503 tries again, as people do.
    """

    count = 5
    must_see = frozenset({ACCEPTED, WRONG, BLOCKED})
    unblocks = True
    wait_time = constant(0.2)

    @task
    def be_unblocked(self) -> None:
        """Guess until the account is blocked; have it unblocked, and log in or guess on."""
        account = random.choice(self.accounts)
        while self.login(account, right=False) not in (BLOCKED, FINAL):
            pass
        while self.unblock(account) == UNAVAILABLE:
            pass
        self.login(account, right=random.random() < 0.5)
