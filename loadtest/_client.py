"""A client that logs in and tells the ledger; what every scenario's users are made of."""

from __future__ import annotations

import secrets
import time
from typing import Any, ClassVar, NamedTuple

from locust import FastHttpUser

from loadtest import _hooks  # noqa: F401  it listens to Locust
from loadtest._judge import complaint
from loadtest._ledger import ACCEPTED, BLOCKED, CREATED, FINAL, TAKEN, UNAVAILABLE, WRONG
from loadtest._run import Run, password

LOGIN_STATUSES = frozenset({ACCEPTED, WRONG, FINAL, BLOCKED})
REGISTER_STATUSES = frozenset({CREATED, TAKEN})
LOOKUP_STATUSES = frozenset({200, 404})


class _Answer(NamedTuple):
    status: int  # 0: none
    problem: str | None  # what is not as documented
    retry_after: int  # seconds; 0: not said


class Client(FastHttpUser):
    """One client of the gateway. A scenario says what it does and what must come of it."""

    abstract = True
    count: ClassVar[int] = 0  # accounts to register for all clients of this class
    must_see: ClassVar[frozenset[int]]  # statuses without which the run has shown nothing
    steady: ClassVar[bool] = False  # whether the run must not get slower
    run_: ClassVar[Run]  # set before the first client is made; `run` is Locust's
    accounts: ClassVar[list[str]]

    def login(self, account: str, *, right: bool, secret: str | None = None) -> int:
        """Log in once; the status that was answered, 0 for none."""
        ledger = self.run_.ledger
        usual = password(account) if right else f"a guess, {secrets.token_hex(8)}"
        body = {"user": account, "pass": secret or usual}
        attempt = ledger.begin(account, right=right, now=time.monotonic())
        answer = self._ask("POST", "/login", "login", LOGIN_STATUSES, json=body)
        now = time.monotonic()
        ledger.end(
            account,
            attempt,
            answer.status,
            now=now,
            problem=answer.problem,
            retry_after=answer.retry_after,
        )
        if answer.status != ACCEPTED and ledger.must_be_listed(account, now=now):
            self._look_up(account)
        return answer.status

    def sign_up(self, account: str, secret: str) -> int:
        """Register once; the status that was answered, 0 for none."""
        body = {"user": account, "pass": secret}
        answer = self._ask("POST", "/register", "register", REGISTER_STATUSES, json=body)
        self.run_.ledger.registered(account, answer.status, problem=answer.problem)
        return answer.status

    def _look_up(self, account: str) -> None:
        url = f"{self.run_.system.operator_url}/blocked/{account}"
        sent = time.monotonic()
        answer = self._ask("GET", url, "look-up", LOOKUP_STATUSES)
        ledger = self.run_.ledger
        ledger.looked_up(account, answer.status, sent=sent, now=time.monotonic())
        ledger.note(answer.problem)

    def _ask(
        self, method: str, url: str, what: str, documented: frozenset[int], **body: Any
    ) -> _Answer:
        with self.client.request(method, url, catch_response=True, name=what, **body) as answer:
            status = answer.status_code
            retry_after = answer.headers.get("Retry-After") or "" if answer.headers else ""
            content = _json(answer) if status == UNAVAILABLE else None
            problem = complaint(what, status, documented, retry_after, content)
            answer.request_meta["name"] = f"{what} {status or 'without an answer'}"
            if problem:
                answer.failure(problem)
            else:
                answer.success()
        return _Answer(status, problem, int(retry_after) if retry_after.isdecimal() else 0)


def _json(answer: object) -> object:
    try:
        return answer.json()  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
