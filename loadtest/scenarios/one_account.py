"""One account is guessed at by hundreds of clients at once; then the next one."""

from __future__ import annotations

from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import BLOCKED, FINAL, WRONG

INSISTS = 5  # guesses of a client at an account that it knows to be blocked


class Guesser(Client):
    """One of many clients that guess at the same account at the same moment.

    The harm it simulates: guesses that race each other past the check, so that many more than the
    threshold are answered before the account is blocked, and the storm on the blocked account
    after that. All clients go through the same accounts in the same order, together. Nobody of
    such a crowd is told 503 who could be answered before the deadline.
    """

    count = 20
    must_see = frozenset({WRONG, BLOCKED})
    patient = True
    wait_time = constant(0.2)

    def on_start(self) -> None:
        """Begin with the first account."""
        self.number = self.refusals = 0

    @task
    def guess(self) -> None:
        """Guess once, and go on to the next account when this one gives nothing more."""
        status = self.login(self.accounts[self.number % self.count], right=False)
        self.refusals += status in (BLOCKED, FINAL)
        if self.refusals > INSISTS:
            self.number, self.refusals = self.number + 1, 0
