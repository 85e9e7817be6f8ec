"""The capacity finder: more and more clients, until one login in a hundred takes too long."""

from __future__ import annotations

import os
import random
import time

import gevent  # type: ignore[import-untyped]
from locust import LoadTestShape, task

from loadtest import knee_search
from loadtest.client import Client
from loadtest.ledger import ACCEPTED
from loadtest.run import options

SETTLE_SECONDS = 3.0  # after a change of the load: requests that waited are done by then
LAG_SECONDS = 1.5  # until all processes have told what they saw


class Visitor(Client):
    """Somebody who logs in about once a second, at random times and always right.

    It shows the knee, up to which everybody is let in within the limit. Further clients
    make everybody wait.
    """

    count = 200
    must_see = frozenset({ACCEPTED})

    def wait_time(self) -> float:
        """Seconds until the next login; without a memory, as with people."""
        return random.expovariate(1.0)

    def on_start(self) -> None:
        """Not all at the same moment."""
        gevent.sleep(self.wait_time())

    @task
    def log_in(self) -> None:
        """Log in."""
        self.login(random.choice(self.accounts), right=True)


class Finder(LoadTestShape):
    """Takes the search's next step whenever one is measured."""

    use_common_options = True
    findings: knee_search.Findings

    def reset_time(self) -> None:
        """Begin the search."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self.began = time.monotonic()
        self.options = options(self.runner)
        limit_ms = float(os.environ.get("P99_MS") or 500)
        self.step_seconds = float(os.environ.get("STEP") or 10)
        self.findings = knee_search.Findings(limit_ms, knee_search.cores_of_system())
        self.search = knee_search.Search(self.options.num_users)
        self.step_began: float | None = None  # when its clients had come, or left

    def tick(self) -> tuple[int, float] | None:
        """How many clients there are now; None at the end."""
        now = time.monotonic()
        if self.step_began is None:
            self.step_began = now
        begin = self.step_began + SETTLE_SECONDS
        end = begin + self.step_seconds
        if now > end + LAG_SECONDS:
            attempts = Visitor.run_.ledger.between(begin, end)
            clients, limit_ms = self.search.clients, self.findings.limit_ms
            step = knee_search.measure(clients, attempts, self.step_seconds, limit_ms)
            print(f"       {step}", flush=True)
            self.findings.steps.append(step)
            self.search.report(step.within_limit)
            self.findings.found = self.search.found
            self.step_began = None
        if self.search.done or now - self.began > self.options.run_time:
            return None
        return self.search.clients, self.search.clients
