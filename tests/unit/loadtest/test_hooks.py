"""The work around a run, without a run."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import gevent  # type: ignore[import-untyped]
import pytest
from locust.env import Environment

from loadtest import hooks
from loadtest.client import BY_SOURCE, Client
from loadtest.cost import Meter
from loadtest.hooks import Hooks
from loadtest.ledger import Rules
from loadtest.run import Run
from loadtest.scenarios.botnet import Bot, Regular
from loadtest.scenarios.flash_crowd import Crowd
from loadtest.scenarios.unblocking import Unblocked
from loadtest.system import System


class Asking(Client):
    """A client that lifts no blocks."""

    must_see = frozenset()


def test_a_run_that_lifts_blocks_does_not_start_without_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others do."""
    system = System("http://login", "http://operator", 5.0)
    monkeypatch.setattr(hooks, "where", lambda: system)
    monkeypatch.setattr(system, "require_ready", lambda: None)
    for classes, starts in (([Asking], True), ([Asking, Unblocked], False)):
        environment = Environment(user_classes=classes)
        environment.parsed_options = SimpleNamespace(headless=False)
        environment.create_local_runner()
        if starts:
            Hooks(Path("results")).prepare(environment)
        else:
            with pytest.raises(SystemExit, match="CERROJO_OPERATOR_TOKEN_FILE"):
                Hooks(Path("results")).prepare(environment)


@pytest.mark.parametrize(
    ("looked_up", "listed", "problems"),
    [
        (200, 200, []),
        (200, 500, ["GET /blocked was answered 500"]),
        (0, 0, ["GET /blocked was answered nothing", "look-up at the end was answered nothing"]),
        (500, 200, ["look-up at the end was answered 500"]),
    ],
)
def test_a_look_at_the_end_that_says_nothing_is_noted(
    looked_up: int, listed: int, problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a list that is never answered passes for one that has everybody."""
    system = System("http://login", "http://operator", 5.0)
    monkeypatch.setattr(system, "lookup", lambda _: looked_up)
    answer = listed, '{"users-blocked": ["run-ana"]}'
    monkeypatch.setattr(system, "_ask", lambda *_: answer)
    run = Run(system, "run", Rules(1, 900.0, 1800.0))
    run.ledger.end("run-ana", run.ledger.begin("run-ana", right=False, now=0.0), 403, now=1.0)
    hooks._look_up_the_blocked(run)
    assert sorted(run.ledger.problems) == problems


@pytest.mark.parametrize("refused", [0, 98])
def test_a_limit_of_this_host_breaks_a_run_whose_clients_say_no_addresses(refused: int) -> None:
    """Refused logins are no calls of their accounts, so nothing else would say that they were."""
    environment = Environment(user_classes=[Asking])
    for _ in range(refused):
        environment.stats.log_request("POST", BY_SOURCE, 1, 0)
    run = Run(System("http://login", "http://operator", 5.0), "run", Rules(5, 900.0, 1800.0))
    (check,) = hooks._check_sources(environment, run, [Asking])
    assert check.holds == (refused == 0)
    assert all("98 were" in broken and "CERROJO_SOURCE_EXEMPT" in broken for broken in check.broken)


def test_a_crowd_has_left_when_its_last_logins_are_answered() -> None:
    """From then on most get in; a load without a crowd has no such time."""
    made = Hooks(Path("results"))
    made._started, made._system = 100.0, System("http://login", "http://operator", 5.0)
    environment = Environment(user_classes=[Asking], shape_class=Crowd())
    environment.parsed_options = SimpleNamespace(run_time=60)
    environment.create_local_runner()
    assert made._calm_from(environment) == 100.0 + 45.0 + 5.0
    environment.shape_class = None
    assert made._calm_from(environment) is None


def test_a_run_says_that_it_is_being_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of many calls that takes minutes, in which a person would take it for stuck."""
    made = Hooks(Path("results"))
    made._system = system = System("http://login", "http://operator", 5.0)
    monkeypatch.setattr(system, "blocked", lambda: (200, set()))
    made._run, made._started = Run(system, "run", Rules(5, 900.0, 1800.0)), time.monotonic()
    made._meter, made._line = Meter(), gevent.spawn(lambda: None)
    made._run.ledger.begin("ana", right=True, now=0.0)
    environment = Environment(user_classes=[Asking])
    environment.create_local_runner()
    made.decide(environment)
    assert "judging 1 calls" in capsys.readouterr().out
    assert environment.process_exit_code == 0


@pytest.mark.parametrize("known", [True, False])
def test_a_botnet_that_nobody_calls_an_attack_breaks_its_run(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is too little at each address, and in all of them too much."""
    system = System("http://login", "http://operator", 5.0)
    report = {"attack": known, "sources": [{"source": "198.18.100.1", "refusals": 1, "error": 0}]}
    monkeypatch.setattr(system, "attacks", lambda: report)
    run = Run(system, "run", Rules(5, 900.0, 1800.0))
    classes = [Bot, Regular]
    *_, check = hooks._check_sources(Environment(user_classes=classes), run, classes)
    assert check.holds == known
