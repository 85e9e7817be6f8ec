"""A client that logs in and tells the ledger; every scenario's users are made of it."""

from __future__ import annotations

import itertools
import secrets
import time
from typing import Any, ClassVar, NamedTuple

from gevent import GreenletExit  # type: ignore[import-untyped]
from locust import FastHttpUser
from locust.stats import RequestStats

from loadtest.judge import GIVEN_UP_BY, complaint
from loadtest.ledger import (
    ACCEPTED,
    BLOCKED,
    CREATED,
    FINAL,
    LOOK_UP,
    REGISTER,
    TAKEN,
    UNAVAILABLE,
    UNBLOCK,
    WRONG,
)
from loadtest.run import Run, password
from loadtest.system import SOURCE_REFUSED

LOGIN = "login"
LOGIN_STATUSES = frozenset({ACCEPTED, WRONG, FINAL, BLOCKED})
REGISTER_STATUSES = frozenset({CREATED, TAKEN})
BLOCK_STATUSES = frozenset({200, 404})

REFUSED_SOURCE = -BLOCKED
"""Not a status: 429 for the source of a login and not for its account."""

BY_SOURCE = f"{LOGIN} {BLOCKED} for its source"
"""What Locust counts those as, with the client's kind before it."""

ADDRESSES = "198.18."
"""How those begin that clients say: of a network for measurements, which nobody has (RFC 2544)."""


class _Answer(NamedTuple):
    status: int  # 0: none
    problem: str | None  # the part that is not as documented
    retry_after: int  # seconds; 0: not said
    by_source: bool  # whether it was refused for the source of the request


class Client(FastHttpUser):
    """One client of the gateway. A scenario says what it does and what must come of it."""

    abstract = True
    count: ClassVar[int] = 0  # accounts to register for all clients of this class
    must_see: ClassVar[frozenset[int]]  # statuses without which the run has shown nothing
    steady: ClassVar[bool] = False  # whether the run must not get slower
    unblocks: ClassVar[bool] = False  # whether it does, which takes an operator's token
    patient: ClassVar[bool] = False  # whether a 503 before a login's deadline is a failure
    refused_source: ClassVar[bool | None] = None
    """Whether its sources must be refused, or may not be; None: it says no addresses."""
    is_attack: ClassVar[bool] = False  # whether GET /attacks must say that it is, at the end
    address: str | None = None
    """From where it tells the login port that it comes, which must trust this host as a proxy."""
    run_: ClassVar[Run]  # set before the first client is made; `run` is Locust's
    accounts: ClassVar[list[str]]

    def login(self, account: str, *, right: bool, secret: str | None = None) -> int:
        """Log in once; the status that was answered, 0 for none, or REFUSED_SOURCE."""
        ledger = self.run_.ledger
        usual = password(account) if right else f"a guess, {secrets.token_hex(8)}"
        body = {"user": account, "pass": secret or usual}
        attempt = ledger.begin(account, right=right, now=time.monotonic())
        try:
            answer = self._ask("POST", "/login", LOGIN, LOGIN_STATUSES, json=body)
        except GreenletExit:  # the run is over, and Locust waits no longer
            attempt.answered = time.monotonic()
            raise
        now = time.monotonic()
        if answer.by_source:
            ledger.withdraw(account, attempt)
            ledger.note(answer.problem)
            return REFUSED_SOURCE
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

    def take_number(self, counts: dict[str, itertools.count[int]]) -> int:
        """The next of these numbers of the run, which no other client of any process has."""
        index: int = self.environment.runner.worker_index % self.run_.processes
        return next(counts[self.run_.name]) * self.run_.processes + index

    def sign_up(self, account: str, secret: str) -> int:
        """Register once; the status that was answered, 0 for none."""
        body = {"user": account, "pass": secret}
        statuses = REGISTER_STATUSES
        return self._put(account, REGISTER, "POST", "/register", "register", statuses, json=body)

    def unblock(self, account: str) -> int:
        """Unblock once, as an operator; the status that was answered, 0 for none."""
        return self._put(
            *(account, UNBLOCK, "DELETE", self._block(account), "unblock", BLOCK_STATUSES),
            headers=self.run_.system.authorization,
        )

    def _look_up(self, account: str) -> None:
        self._put(
            *(account, LOOK_UP, "GET", self._block(account), "look-up", BLOCK_STATUSES),
            headers=self.run_.system.authorization,
        )

    def _put(self, account: str, kind: str, *request: Any, **body: Any) -> int:
        """Put a question about an account, and note what comes of it."""
        ledger = self.run_.ledger
        question = ledger.ask(account, kind, now=time.monotonic())
        answer = self._ask(*request, **body)
        ledger.answer(question, answer.status, now=time.monotonic(), problem=answer.problem)
        return answer.status

    @classmethod
    def _named(cls, answer: str) -> str:
        """The answer as the report has it where clients of several kinds say where they are."""
        return f"{cls.__name__}: {answer}"

    @classmethod
    def sources_refused(cls, stats: RequestStats) -> int:
        """How many logins of this kind of client were refused for their source."""
        return int(stats.get(cls._named(BY_SOURCE), "POST").num_requests)

    def _block(self, account: str) -> str:
        return f"{self.run_.system.operator_url}/blocked/{account}"

    def _ask(
        self, method: str, url: str, what: str, documented: frozenset[int], **body: Any
    ) -> _Answer:
        sent = time.monotonic()
        # Each request is a stranger's: with a device's cookie, wrong ones would not count together.
        self.client.cookiejar.clear()
        # The operator port would take it for a proxy's request, of which it wants a token.
        if self.address and not url.startswith(self.run_.system.operator_url):
            body["headers"] = {"X-Forwarded-For": self.address, **body.get("headers", {})}
        with self.client.request(method, url, catch_response=True, name=what, **body) as answer:
            status = answer.status_code
            retry_after = answer.headers.get("Retry-After") or "" if answer.headers else ""
            content = _json(answer) if status == UNAVAILABLE else None
            waited, deadline = time.monotonic() - sent, self.run_.system.deadline_seconds
            early = self.patient and what == LOGIN and waited < GIVEN_UP_BY * deadline
            problem = complaint(what, status, documented, retry_after, content, early=early)
            by_source = status == BLOCKED and SOURCE_REFUSED.encode() in (answer.content or b"")
            name = BY_SOURCE if by_source else f"{what} {status or 'without an answer'}"
            answer.request_meta["name"] = self._named(name) if self.address else name
            if problem:
                answer.failure(problem)
            else:
                answer.success()
        seconds = int(retry_after) if retry_after.isdecimal() else 0
        return _Answer(status, problem, seconds, by_source)


def _json(answer: object) -> object:
    try:
        return answer.json()  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
