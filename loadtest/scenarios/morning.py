"""A normal morning: many users log in, mostly right."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import ClassVar

from locust import between, task

from loadtest.client import Client
from loadtest.ledger import ACCEPTED

TYPOS = 0.04


def zipf(count: int) -> list[float]:
    """How often the first, the first two, the first three ... of so many users come."""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))


class Ordinary(Client):
    """Somebody who logs in, now and then with a typo, and then tries again.

    The harm it simulates: a lock that gets in the way of those whom it protects. Some users come
    far more often than others (Zipf), so that the same account is often in flight twice.
    """

    count = 50
    must_see = frozenset({ACCEPTED})
    wait_time = between(0.5, 2.5)
    weights: ClassVar[list[float]] = zipf(count)

    @task
    def log_in(self) -> None:
        """Log in; after a typo, with more care."""
        (account,) = random.choices(self.accounts, cum_weights=self.weights)
        if random.random() < TYPOS:
            self.login(account, right=False)
        self.login(account, right=True)
