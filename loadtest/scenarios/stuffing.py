"""Credential stuffing: a list of stolen names and passwords is tried, each once."""

from __future__ import annotations

import random
import secrets
from typing import ClassVar

from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import ACCEPTED, WRONG

KNOWN = 0.1  # of the names on the list are accounts here
HITS = 0.5  # of those have the same password here
PROCESSES = 10  # of Locust, which share the accounts so that each is guessed at once


class Stuffer(Client):
    """One of many clients that work off a stolen list.

    The harm it simulates: many accounts, one guess at each, so that no lock ever closes. There is
    little that a lock can do, and it must not make it worse: nobody is blocked by one wrong guess,
    nobody but the hits gets in, and names that do not exist are answered like those that do.
    """

    count = 200
    must_see = frozenset({ACCEPTED, WRONG})
    wait_time = constant(0.1)
    left: ClassVar[dict[str, list[str]]] = {}  # by run, who was not guessed at yet

    @task
    def try_next(self) -> None:
        """Try the next entry of the list."""
        hits, others = self.accounts[: self.count // 2], self.accounts[self.count // 2 :]
        index = self.environment.runner.worker_index
        left = self.left.setdefault(self.run_.name, others[index % PROCESSES :: PROCESSES])
        if random.random() < KNOWN:
            if random.random() < HITS:
                self.login(random.choice(hits), right=True)
            elif left:
                self.login(left.pop(), right=False)
        else:
            self.login(f"{self.run_.name}-{secrets.token_hex(6)}", right=False)
