"""A registration burst: everybody wants an account at once, and some want the same name."""

from __future__ import annotations

import random
import secrets

from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import constant, task

from loadtest import _client, _ledger

CONTESTED = 0.2  # of the names are wanted by ...
RIVALS = 3  # ... so many


class Newcomer(_client.Client):
    """Somebody who registers and logs in, sometimes while others register the same name.

    The harm it simulates: a name that two own, or nobody, when several ask for it at the same
    moment; and a burst of hashes after which nobody can log in. Who was told 201 gets in, and
    the rivals do not.
    """

    must_see = frozenset({_ledger.CREATED, _ledger.TAKEN, _ledger.ACCEPTED, _ledger.WRONG})
    wait_time = constant(1)

    @task
    def arrive(self) -> None:
        """Register a new name and log in with it."""
        name = f"{self.run_.name}-{secrets.token_hex(6)}"
        rivals = RIVALS if random.random() < CONTESTED else 1
        passwords = [f"the password of rival {rival}" for rival in range(rivals)]
        statuses = Pool().map(lambda secret: self.sign_up(name, secret), passwords)
        if _ledger.CREATED in statuses:
            owner = statuses.index(_ledger.CREATED)
            for rival, secret in enumerate(passwords):
                self.login(name, right=rival == owner, secret=secret)
