"""The events around a run: accounts before it, a line now and then, the verdict after it."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any, cast

import gevent  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.client import ADDRESSES, BLOCK_STATUSES, BY_SOURCE, Client
from loadtest.cost import Meter
from loadtest.files import keep
from loadtest.judge import Check, judge
from loadtest.knee_search import Findings
from loadtest.ledger import LIST
from loadtest.processes import Master, Worker
from loadtest.report import Outcome, print_report
from loadtest.run import PATIENCE_SECONDS, Run, options, password, where
from loadtest.system import AT_ONCE, CannotStartError, System
from settings import SettingsError

LINE_EVERY_SECONDS = 5
TICKET = "cerrojo_run"  # goes to the workers with Locust's options


class Hooks:
    """The work of this process at each of Locust's events. The run's results go to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._system: System
        self._prepared: Run | None = None  # its accounts are there, and it has not begun
        self._run: Run
        self._meter: Meter
        self._started: float
        self._line: Any  # the greenlet that says how it goes
        self._master: Master | None = None
        self._worker: Worker | None = None
        self._kept: tuple[Environment, Outcome] | None = None

    def listen(self) -> None:
        """Have Locust call this object. Call it once, before Locust starts."""
        events.init.add_listener(self.prepare)  # type: ignore[no-untyped-call]
        events.test_start.add_listener(self.begin)  # type: ignore[no-untyped-call]
        events.test_stopping.add_listener(self.finish)  # type: ignore[no-untyped-call]
        events.test_stop.add_listener(self.decide)  # type: ignore[no-untyped-call]
        events.quit.add_listener(self.save)  # type: ignore[no-untyped-call]

    def prepare(self, environment: Environment, web_ui: Any = None, **_: Any) -> None:
        """See that the system is there; for a run without the web page, register its accounts."""
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)  # the report says it all
        logging.getLogger("locust.runners").setLevel(logging.ERROR)  # all at once is what is wanted
        runner = environment.runner
        try:
            self._system = where()
            if any(client.unblocks for client in _client_classes(environment)):
                self._system.require_token()
            for client in _client_classes(environment):
                client.host = self._system.login_url
                client.network_timeout = client.connection_timeout = PATIENCE_SECONDS
            if isinstance(runner, WorkerRunner):
                self._worker = Worker(runner)
                return
            if isinstance(runner, MasterRunner):
                self._master = Master(runner)
            self._system.require_ready()
            told = options(runner)
            if web_ui:
                print(f"Locust's page: http://{told.web_host}:{told.web_port}")
            if told.headless:
                self._prepared = self._new_run(environment)
        except (CannotStartError, SettingsError) as error:
            sys.exit(str(error))

    def begin(self, environment: Environment, **_: Any) -> None:
        """Start the clock, and say now and then how it goes."""
        told = options(environment.runner)
        if self._worker:
            run = Run.join(self._system, getattr(told, TICKET))
            self._worker.begin(run.ledger)
        else:
            try:
                run = self._prepared or self._new_run(environment)
            except CannotStartError as error:
                sys.exit(str(error))
            self._prepared = None
            if self._master:
                run.processes = self._master.begin(run.ledger)
            setattr(told, TICKET, run.ticket())
            self._started, self._meter = time.monotonic(), Meter()
            self._line = gevent.spawn(_say_how_it_goes, environment)
        for client in _client_classes(environment):
            client.run_ = run
            client.accounts = run.accounts(client.__name__, client.count)
        self._run = run

    def finish(self, **_: Any) -> None:
        """Hear from all processes what they have not told yet."""
        if self._master:
            self._master.finish()

    def decide(self, environment: Environment, **_: Any) -> None:
        """Judge the run; Locust takes the exit status from here."""
        if self._worker:
            return
        run, master, classes = self._run, self._master, _client_classes(environment)
        seconds = time.monotonic() - self._started
        own = self._meter.stop()
        self._line.kill()
        calls = sum(len(a.attempts) + len(a.questions) for a in run.ledger.accounts.values())
        print(f"Looking at the blocks, and judging {calls:,} calls.", flush=True)
        _look_up_the_blocked(run)
        must_see = {status for client in classes for status in client.must_see}
        checks = judge(
            run.ledger,
            must_see,
            steady=any(client.steady for client in classes),
            deadline=self._system.deadline_seconds,
            calm_from=self._calm_from(environment),
        )
        assert environment.runner is not None
        errors = [str(e["msg"]) for e in environment.runner.exceptions.values()]
        checks.append(Check("The load test itself made no error", "its log", errors))
        if master:
            checks.append(master.check())
        findings: Findings | None = getattr(environment.shape_class, "findings", None)
        if findings:
            nothing = [] if findings.best and findings.found else [str(findings)]
            checks.append(Check("A knee was found", f"{len(findings.steps)} steps", nothing))
        checks += _check_sources(environment, run, classes)
        costs = [*master.costs.values(), own] if master else [own]
        outcome = Outcome(run.ledger.rules, seconds, costs, checks, findings)
        print_report(environment.stats, outcome)
        self._kept = environment, outcome
        environment.process_exit_code = max(environment.process_exit_code or 0, not outcome.holds)

    def _calm_from(self, environment: Environment) -> float | None:
        """When the last logins of a crowd that has left were answered; None without a crowd."""
        calm_after: float | None = getattr(environment.shape_class, "calm_after", None)
        if calm_after is None:
            return None
        left = self._started + calm_after * options(environment.runner).run_time
        return float(left + self._system.deadline_seconds)

    def save(self, **_: Any) -> None:
        """Write down the verdict, when Locust has written its own report."""
        if self._kept:
            keep(self._folder, *self._kept)
            print(f"The report is in {self._folder}")

    def _new_run(self, environment: Environment) -> Run:
        """A run with its accounts registered, or CannotStartError."""
        run = Run.begin(self._system)
        names = [n for c in _client_classes(environment) for n in run.accounts(c.__name__, c.count)]
        if names:
            self._system.register([(name, password(name)) for name in names])
        assert environment.runner is not None
        environment.runner.stats.clear_all()  # the time of a run begins here
        return run


def _look_up_the_blocked(run: Run) -> None:
    """Look up each account that must be blocked by all that is known; no process knew all of it.

    Then look at the list, which says something about each of them. An answer that says nothing is
    noted: without it nobody knows whether they are listed.
    """
    now = time.monotonic()
    accounts = run.ledger.accounts.items()
    run.ledger.sort()
    blocked = [name for name, a in accounts if a.is_blocked(run.ledger.rules, now, now)]
    failed: list[int] = []

    def look_up(name: str) -> None:
        if failed:
            return  # each further one could take as long, and say no more
        sent = time.monotonic()
        status = run.system.lookup(name)
        run.ledger.looked_up(name, status, sent=sent, now=time.monotonic())
        if status not in BLOCK_STATUSES:
            failed.append(status)
            run.ledger.note(f"look-up at the end was answered {status or 'nothing'}")

    Pool(AT_ONCE).map(look_up, blocked)
    sent = time.monotonic()
    found, listed = run.system.blocked()
    if found != 200:
        run.ledger.note(f"GET /blocked was answered {found or 'nothing'}")
        return
    for name, _ in accounts:
        status = 200 if name in listed else 404
        run.ledger.looked_up(name, status, sent=sent, now=time.monotonic(), kind=LIST)


def _check_sources(environment: Environment, run: Run, classes: list[type[Client]]) -> list[Check]:
    """Whether sources were refused that had to be, and no others: never that of this host.

    Also whether the system knows an attack of many sources for one.
    """
    own = environment.stats.entries.get((BY_SOURCE, "POST"))
    number = own.num_requests if own else 0
    limited = f"{number:,} were: its address is limited; name it in CERROJO_SOURCE_EXEMPT"
    checks = [
        Check(
            "No login was refused for the address of this host",
            f"{number:,} refusals",
            [limited] if number else [],
        )
    ]
    told = [client for client in classes if client.refused_source is not None]
    if not told:
        return checks
    refused = {client: client.sources_refused(environment.stats) for client in told}
    wrong = [
        f"{number:,} logins of {client.__name__} were refused for their source"
        for client, number in refused.items()
        if (number > 0) != client.refused_source
    ]
    report = run.system.attacks()
    if not any(found["source"].startswith(ADDRESSES) for found in report.get("sources", ())):
        wrong.append(
            "the system does not believe the addresses; name this host in CERROJO_TRUSTED_PROXIES"
        )
    if any(client.is_attack for client in classes) and not report.get("attack"):
        wrong.append(
            "GET /attacks does not say that it is an attack; set TIME higher, or the gateways' "
            "CERROJO_ATTACK_FAILURES lower"
        )
    total = f"{sum(refused.values()):,} refusals"
    return [*checks, Check("Sources were refused where they had to be", total, wrong)]


def _client_classes(environment: Environment) -> list[type[Client]]:
    return cast("list[type[Client]]", list(environment.user_classes))


def _say_how_it_goes(environment: Environment) -> None:
    start, before = time.monotonic(), 0
    while True:
        gevent.sleep(LINE_EVERY_SECONDS)
        assert environment.runner is not None
        stats, users = environment.stats.total, environment.runner.user_count
        rate = (stats.num_requests - before) / LINE_EVERY_SECONDS
        before = stats.num_requests
        print(
            f"{time.monotonic() - start:5.0f} s: {users} clients, {rate:,.0f} answers/s, "
            f"{stats.num_failures:,} not as documented",
            flush=True,
        )
