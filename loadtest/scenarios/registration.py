"""A registration burst: everybody wants an account at once, and some want the same name."""

from __future__ import annotations

import random
import secrets

from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import constant, task

from loadtest.client import Client
from loadtest.ledger import ACCEPTED, CREATED, TAKEN, WRONG

CONTESTED = 0.2  # of the names are wanted by ...
RIVALS = 3  # ... so many


class Newcomer(Client):
    """Somebody who registers and logs in, sometimes while others register the same name.

    The harm it simulates: a name that two own, or nobody, when several ask for it at the same
    moment; and a burst of hashes after which nobody can log in. The client that was told 201 gets
    in, and its rivals do not.
    """

    must_see = frozenset({CREATED, TAKEN, ACCEPTED, WRONG})
    wait_time = constant(1)

    @task
    def arrive(self) -> None:
        """Register a new name and log in with it."""
        name = f"{self.run_.name}-{secrets.token_hex(6)}"
        rivals = RIVALS if random.random() < CONTESTED else 1
        passwords = [f"the password of rival {rival}" for rival in range(rivals)]
        statuses = Pool().map(lambda secret: self.sign_up(name, secret), passwords)
        if CREATED in statuses:
            owner = statuses.index(CREATED)
            for rival, secret in enumerate(passwords):
                self.login(name, right=rival == owner, secret=secret)
