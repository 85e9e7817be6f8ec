"""What happens around a run: accounts before it, a line now and then, the verdict after it."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest._accounts import CannotStartError, register, require_ready
from loadtest._judge import Check, judge
from loadtest._report import Cost, print_report
from loadtest._run import Run
from settings import SettingsError

if TYPE_CHECKING:
    from loadtest._client import Client  # which imports this module

LINE_EVERY_SECONDS = 5


class _Now:
    """The run of this process; it has one."""

    run: Run
    cost: Cost


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust has no types
def prepare(environment: Environment, **_: Any) -> None:
    """Give every class of clients its accounts, registered."""
    logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)  # the report says it all
    logging.getLogger("locust.runners").setLevel(logging.ERROR)  # all at once is what is wanted
    classes = _client_classes(environment)
    try:
        run = _Now.run = Run()
        for client in classes:
            client.run_ = run
            client.host = run.login_url
            client.network_timeout = client.connection_timeout = run.patience_seconds
            client.accounts = run.accounts(client.__name__, client.count)
        if not isinstance(environment.runner, WorkerRunner):
            require_ready(run)
            register(run, [name for client in classes for name in client.accounts])
    except (CannotStartError, SettingsError) as error:
        sys.exit(str(error))


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """Start the clock, and say now and then how it goes."""
    _Now.cost = Cost.begin()
    gevent.spawn(_say_how_it_goes, environment)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def decide(environment: Environment, **_: Any) -> None:
    """Judge the run; Locust takes the exit status from here."""
    _Now.cost.end()
    must_see = {status for client in _client_classes(environment) for status in client.must_see}
    assert environment.runner is not None
    errors = [str(e["msg"]) for e in environment.runner.exceptions.values()]
    users = Check("The load test itself made no error", "its log", errors)
    checks = [*judge(_Now.run.ledger, must_see), users]
    environment.process_exit_code = 0 if all(check.holds for check in checks) else 1
    print_report(environment.stats, _Now.cost, checks)


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
