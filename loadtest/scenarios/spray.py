"""One address that guesses once at each of very many accounts, as fast as it can."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import ClassVar

from locust import constant, task

from loadtest.client import ADDRESSES, Client
from loadtest.ledger import ACCEPTED, WRONG
from loadtest.run import password

HIT = 200  # one in so many guesses is right


class Sprayer(Client):
    """One of the connections of a single attacker, from one address.

    The harm it simulates: a password that many have is tried once at everybody, so that no lock
    ever closes. How many guesses are answered before the address is refused, and how many hits are
    among them, is in the report: `login 401` and `login 200`.
    """

    count = 40
    must_see = frozenset({WRONG})
    refused_source = True
    wait_time = constant(0)
    address = ADDRESSES + "0.2"
    tries: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    @task
    def try_next(self) -> None:
        """Try the next name."""
        number = self.take_number(self.tries)
        round_, hit = divmod(number, HIT)
        if hit or round_ >= self.count:
            self.login(f"{self.run_.name}-sprayed-{number}", right=False)
        else:
            account = self.accounts[round_]
            self.login(account, right=True, secret=password(account))


class Owner(Client):
    """Somebody else who logs in meanwhile, from home.

    The harm it simulates: a limit that refuses others than the attacker.
    """

    count = 20
    must_see = frozenset({ACCEPTED})
    refused_source = False
    wait_time = constant(1)
    homes: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    def on_start(self) -> None:
        """Come home."""
        number = self.take_number(self.homes)
        self.account = self.accounts[number % self.count]
        self.address = f"{ADDRESSES}1.{number % 256}"

    @task
    def log_in(self) -> None:
        """Log in."""
        self.login(self.account, right=True)
