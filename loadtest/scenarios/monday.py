"""A Monday morning: everybody of an office logs in, from one address, and some mistype."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from typing import ClassVar

import gevent  # type: ignore[import-untyped]
from locust import between, task
from locust.exception import StopUser

from loadtest.client import ADDRESSES, REFUSED_SOURCE, Client
from loadtest.ledger import ACCEPTED, UNAVAILABLE

MISTYPE = 0.15
AGAIN = 0.3  # of those that mistype, once more
SECONDS = 20.0  # within which all of them come


class Colleague(Client):
    """One of 300 people behind one address, each with an account.

    The harm it simulates: a limit by source that takes an office for an attacker. Each logs in
    until it is in, and nobody may be refused for the address.
    """

    count = 300
    must_see = frozenset({ACCEPTED})
    refused_source = False
    wait_time = between(1, 3)
    address = ADDRESSES + "0.1"
    people: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    @task
    def log_in(self) -> None:
        """Come, mistype or not, and get in."""
        account = self.accounts[self.take_number(self.people) % self.count]
        gevent.sleep(random.uniform(0, SECONDS))
        chance = MISTYPE
        while random.random() < chance:
            self.login(account, right=False)
            gevent.sleep(random.uniform(1, 3))
            chance = AGAIN
        while self.login(account, right=True) in (UNAVAILABLE, REFUSED_SOURCE):
            gevent.sleep(1)
        raise StopUser
