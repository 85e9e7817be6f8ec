"""Password spraying: one common password is tried at every account, then the next one."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import ClassVar

from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import ACCEPTED, BLOCKED, WRONG
from loadtest.run import password

LUCKY = 20  # one in so many accounts has the first common password


class Sprayer(Client):
    """One of the few sources that try the same password at all accounts, and then the next one.

    The harm it simulates: guesses that are few for each account and many in all. A user with a
    common password loses the account; of all others no more than five guesses are answered, and
    they are listed as blocked.
    """

    count = 40
    must_see = frozenset({ACCEPTED, WRONG, BLOCKED})
    wait_time = constant(0)
    # By run: how often its sources have tried, together.
    tries: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    @task
    def try_next(self) -> None:
        """Try the password of this round at the next account."""
        round_, number = divmod(self.take_number(self.tries), self.count)
        account = self.accounts[number]
        lucky = round_ == 0 and number % LUCKY == 0
        common = password(account) if lucky else f"common password {round_}"
        self.login(account, right=lucky, secret=common)
