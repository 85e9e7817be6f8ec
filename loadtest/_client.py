"""A client that logs in and tells the ledger; what every scenario's users are made of."""

from __future__ import annotations

import secrets
import time
from typing import Any, ClassVar

from locust import FastHttpUser

from loadtest import _hooks  # noqa: F401  it listens to Locust
from loadtest._judge import ACCEPTED, BLOCKED, FINAL, WRONG, complaint
from loadtest._run import Run, password

LOGIN_STATUSES = frozenset({ACCEPTED, WRONG, FINAL, BLOCKED})
LOOKUP_STATUSES = frozenset({200, 404})


class Client(FastHttpUser):
    """One client of the gateway. A scenario says what it does and what must come of it."""

    abstract = True
    count: ClassVar[int]  # accounts to register for all clients of this class
    must_see: ClassVar[frozenset[int]]  # statuses without which the run has shown nothing
    run_: ClassVar[Run]  # set before the first client is made; `run` is Locust's
    accounts: ClassVar[list[str]]

    def login(self, account: str, *, right: bool) -> int:
        """Log in once; the status that was answered, 0 for none."""
        secret = password(account) if right else f"a guess, {secrets.token_hex(8)}"
        attempt = self.run_.ledger.begin(account, right=right, now=time.monotonic())
        body = {"user": account, "pass": secret}
        status, problem = self._ask("POST", "/login", "login", LOGIN_STATUSES, json=body)
        now = time.monotonic()
        self.run_.ledger.end(attempt, status, now=now, problem=problem)
        if status == WRONG and self.run_.ledger.must_be_listed(account, now=now):
            self._look_up(account)
        return status

    def _look_up(self, account: str) -> None:
        url = f"{self.run_.operator_url}/blocked/{account}"
        status, problem = self._ask("GET", url, "look-up", LOOKUP_STATUSES)
        self.run_.ledger.looked_up(account, status, problem=problem)

    def _ask(
        self, method: str, url: str, what: str, documented: frozenset[int], **body: Any
    ) -> tuple[int, str | None]:
        """The status, and the complaint about the answer if there is one."""
        with self.client.request(method, url, catch_response=True, name=what, **body) as answer:
            status = answer.status_code
            retry_after = answer.headers.get("Retry-After") if answer.headers else None
            content = _json(answer) if status == 503 else None
            problem = complaint(what, status, documented, retry_after, content)
            answer.request_meta["name"] = f"{what} {status or 'without an answer'}"
            if problem:
                answer.failure(problem)
            else:
                answer.success()
        return status, problem


def _json(answer: object) -> object:
    try:
        return answer.json()  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
