"""Ten thousand addresses that guess once each, at accounts of their own, while people log in."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from typing import ClassVar

from locust import between, constant, task

from loadtest.client import ADDRESSES, Client
from loadtest.ledger import ACCEPTED, WRONG

BOTS = 10_000
HOMES, FIRST = 256 * 10, 256 * 100  # none of another scenario's
MISTYPE = 0.05


def address(number: int) -> str:
    """The address with this number."""
    return f"{ADDRESSES}{number // 256 % 256}.{number % 256}"


class Bot(Client):
    """One of the connections of a botnet; it takes another address for each guess.

    The harm it simulates: so few guesses from each address that no limit by source sees them.
    `GET /attacks` must say that it is an attack; only the third guess of an address is refused.
    """

    weight = 9
    must_see = frozenset({WRONG})
    is_attack = True
    wait_time = constant(0)
    guesses: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    @task
    def guess(self) -> None:
        """Guess from the next address; after the last one, from the first one again."""
        number = self.take_number(self.guesses)
        self.address = address(FIRST + number % BOTS)
        self.login(f"{self.run_.name}-guessed-{number}", right=False)


class Regular(Client):
    """Somebody at home, who logs in again and again.

    The harm it simulates: an attack that takes all hashes. Somebody got in there before, so these
    logins are hashed before all of strangers.
    """

    weight = 1
    count = 20
    must_see = frozenset({ACCEPTED})
    refused_source = False
    wait_time = between(2, 6)
    homes: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    def on_start(self) -> None:
        """Come home."""
        number = self.take_number(self.homes) % self.count
        self.account, self.address = self.accounts[number], f"{ADDRESSES}5.{number}"

    @task
    def log_in(self) -> None:
        """Log in."""
        self.login(self.account, right=True)


class Resident(Client):
    """Somebody who logs in from home meanwhile, for the first time of the day.

    The harm it simulates: an attack of others that keeps people out.
    """

    weight = 1
    count = 100
    must_see = frozenset({ACCEPTED})
    refused_source = False
    wait_time = between(2, 6)
    homes: ClassVar[dict[str, itertools.count[int]]] = defaultdict(itertools.count)

    @task
    def log_in(self) -> None:
        """Log in from a home where nobody logged in today, now and then with a typo."""
        number = self.take_number(self.homes)
        self.address = address(HOMES + number % (FIRST - HOMES))
        account = self.accounts[number % self.count]
        if random.random() < MISTYPE:
            self.login(account, right=False)
        self.login(account, right=True)
