"""What happens around a run: accounts before it, a line now and then, the verdict after it."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gevent  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtest._capacity import Findings
from loadtest._cost import Meter
from loadtest._files import keep
from loadtest._judge import Check, judge
from loadtest._processes import Master, Worker
from loadtest._report import Outcome, print_report
from loadtest._run import PATIENCE_SECONDS, Run, password, where
from loadtest._system import AT_ONCE, CannotStartError, System
from settings import SettingsError

if TYPE_CHECKING:
    from loadtest._client import Client  # which imports this module

LINE_EVERY_SECONDS = 5
FOLDER = "CERROJO_LOADTEST_FOLDER"  # set by __main__: where this run's results go
TICKET = "cerrojo_run"  # goes to the workers with Locust's options


class _Now:
    """Of this process."""

    system: System
    next: Run | None = None  # is prepared, and not begun yet
    run: Run
    meter: Meter
    started: float
    line: Any  # the greenlet that says how it goes
    master: Master | None = None
    worker: Worker | None = None
    kept: tuple[Environment, Outcome] | None = None


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust has no types
def prepare(environment: Environment, web_ui: Any = None, **_: Any) -> None:
    """See that the system is there; for a run without the web page, register its accounts."""
    logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)  # the report says it all
    logging.getLogger("locust.runners").setLevel(logging.ERROR)  # all at once is what is wanted
    runner = environment.runner
    try:
        _Now.system = where()
        for client in _client_classes(environment):
            client.host = _Now.system.login_url
            client.network_timeout = client.connection_timeout = PATIENCE_SECONDS
        if isinstance(runner, WorkerRunner):
            _Now.worker = Worker(runner)
            return
        if isinstance(runner, MasterRunner):
            _Now.master = Master(runner)
        _Now.system.require_ready()
        if web_ui:
            print(f"Locust's page: http://{options(runner).web_host}:{options(runner).web_port}")
        if options(runner).headless:
            _Now.next = _new_run(environment)
    except (CannotStartError, SettingsError) as error:
        sys.exit(str(error))


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Start the clock, and say now and then how it goes."""
    told = options(environment.runner)
    if _Now.worker:
        run = Run.join(_Now.system, getattr(told, TICKET))
        _Now.worker.begin(run.ledger)
    else:
        try:
            run = _Now.next or _new_run(environment)
        except CannotStartError as error:
            sys.exit(str(error))
        _Now.next = None
        setattr(told, TICKET, run.ticket())
        if _Now.master:
            _Now.master.begin(run.ledger)
        _Now.started, _Now.meter = time.monotonic(), Meter()
        _Now.line = gevent.spawn(_say_how_it_goes, environment)
    for client in _client_classes(environment):
        client.run_ = run
        client.accounts = run.accounts(client.__name__, client.count)
    _Now.run = run


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def finish(**_: Any) -> None:
    """Hear from all processes what they have not told yet."""
    if _Now.master:
        _Now.master.finish()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def decide(environment: Environment, **_: Any) -> None:
    """Judge the run; Locust takes the exit status from here."""
    if _Now.worker:
        return
    run, master, classes = _Now.run, _Now.master, _client_classes(environment)
    seconds = time.monotonic() - _Now.started
    own = _Now.meter.stop()
    _Now.line.kill()
    _look_up_the_blocked(run)
    must_see = {status for client in classes for status in client.must_see}
    checks = judge(run.ledger, must_see, steady=any(client.steady for client in classes))
    assert environment.runner is not None
    errors = [str(e["msg"]) for e in environment.runner.exceptions.values()]
    checks.append(Check("The load test itself made no error", "its log", errors))
    if master:
        checks.append(master.check())
    findings: Findings | None = getattr(environment.shape_class, "findings", None)
    if findings:
        nothing = [] if findings.knee else [str(findings)]
        checks.append(Check("A knee was found", f"{len(findings.steps)} steps", nothing))
    costs = [*master.costs.values(), own] if master else [own]
    outcome = Outcome(run.ledger.rules, seconds, costs, checks, findings)
    print_report(environment.stats, outcome)
    _Now.kept = environment, outcome
    environment.process_exit_code = max(environment.process_exit_code or 0, not outcome.holds)


@events.quit.add_listener  # type: ignore[untyped-decorator]
def save(**_: Any) -> None:
    """Write down the verdict, when Locust has written its own report."""
    folder = os.environ.get(FOLDER)
    if _Now.kept and folder:
        keep(Path(folder), *_Now.kept)
        print(f"The report is in {folder}")


def options(runner: Runner | None) -> Any:
    """What was said on Locust's command line, or in its web page."""
    assert runner is not None
    return runner.environment.parsed_options


def _new_run(environment: Environment) -> Run:
    """A run with its accounts registered, or CannotStartError."""
    run = Run.begin(_Now.system)
    names = [n for c in _client_classes(environment) for n in run.accounts(c.__name__, c.count)]
    if names:
        _Now.system.register([(name, password(name)) for name in names])
    assert environment.runner is not None
    environment.runner.stats.clear_all()  # the time of a run begins here
    return run


def _look_up_the_blocked(run: Run) -> None:
    """Look up whoever must be blocked by all that is known; no process knew all of it."""
    now = time.monotonic()
    accounts = run.ledger.accounts.items()
    run.ledger.sort()
    blocked = [name for name, a in accounts if a.is_blocked(run.ledger.rules, now, now)]

    def look_up(name: str) -> None:
        sent = time.monotonic()
        status = run.system.lookup(name)
        run.ledger.looked_up(name, status, sent=sent, now=time.monotonic())

    Pool(AT_ONCE).map(look_up, blocked)


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
