"""The search for the knee, on systems whose knee is known."""

from __future__ import annotations

import json
from math import inf

import pytest

from loadtest.knee_search import NEAR, Findings, Search, Step, measure
from loadtest.ledger import Attempt


def found(knee: int, most: int = 10_000) -> tuple[int, list[int]]:
    """The most clients that were within the limit, and all that were tried."""
    search, tried, best = Search(most), [], 0
    while not search.done:
        clients = search.clients
        tried.append(clients)
        if clients <= knee:
            best = max(best, clients)
        search.report(clients <= knee)
        assert len(tried) < 100
    return best, tried


@pytest.mark.parametrize("knee", [1, 2, 15, 16, 17, 63, 100, 1_000, 9_999])
def test_the_knee_is_found(knee: int) -> None:
    """To a tenth, or to one client, with few steps."""
    best, tried = found(knee)
    assert best <= knee <= NEAR * best + 1
    assert len(tried) < 30


def test_a_system_that_is_never_full_ends_the_search() -> None:
    """The most clients are tried, and no more."""
    best, tried = found(10**9, most=300)
    assert best == 300
    assert max(tried) == 300


def test_a_system_that_can_do_nothing_ends_the_search() -> None:
    """Down to one client."""
    assert found(0)[0] == 0


def test_one_bad_step_does_not_count() -> None:
    """A noisy moment is no knee; two in turn are one."""
    search = Search(10_000, first=16)
    search.report(False)
    assert search.clients == 16
    search.report(True)
    assert search.clients == 32
    search.report(False)
    search.report(False)
    assert search.clients == 24


def test_a_step_is_within_the_limit_by_its_99th_percentile() -> None:
    """One slow one in two hundred is; three are not, and who is not let in is slowest of all."""
    quick = [Attempt(True, 0.0, 0.1, 200) for _ in range(197)]
    slow = [Attempt(True, 0.0, 0.9, 200) for _ in range(3)]
    refused = [Attempt(True, 0.0, 0.01, 503) for _ in range(3)]
    assert measure(7, quick + slow[:1], 10.0, 500.0).within_limit
    assert not measure(7, quick + slow, 10.0, 500.0).within_limit
    step = measure(7, quick + refused, 10.0, 500.0)
    assert (step.clients, step.logins_per_second) == (7, 19.7)
    assert (step.p99_ms, step.not_let_in, step.within_limit) == (inf, 3, False)


def test_a_step_without_answers_is_not_within_the_limit() -> None:
    """Nothing was measured, so nothing is known."""
    assert not measure(1, [], 10.0, 500.0).within_limit


def test_findings_are_the_best_step_for_each_core() -> None:
    """The knee is what was within the limit; JSON has no infinity."""
    good, best = Step(16, 15.0, 30.0, 60.0, 0, True), Step(64, 60.0, 99.0, 480.0, 0, True)
    steps = [good, best, Step(128, 70.0, 900.0, inf, 5, False)]
    findings = Findings(500.0, 4, steps, found=True)
    assert findings.best is best
    said = json.loads(json.dumps(findings.as_json(), allow_nan=False))
    assert said["logins_per_second"] == 60.0
    assert said["logins_per_second_per_core"] == 15.0
    assert said["steps"][2]["p99_ms"] is None
    assert "The knee: 60.0 logins/s, 15.0 for each core" in str(findings)
    nothing = Findings(500.0, None, [Step(1, 0.0, inf, inf, 9, False)])
    assert nothing.best is None
    assert nothing.as_json()["logins_per_second_per_core"] is None


def test_the_best_step_of_a_search_that_ended_early_is_no_knee() -> None:
    """It had no more clients, or no more time: then the system may do far more."""
    findings = Findings(500.0, None, [Step(16, 15.0, 30.0, 60.0, 0, True)])
    assert str(findings).startswith("At least 15.0 logins/s")
    assert "set USERS or TIME higher" in str(findings)
    assert findings.as_json()["found"] is False


def test_a_search_knows_whether_it_went_past_the_knee() -> None:
    """Not where the most clients were within the limit, nor before it comes near."""
    search = Search(16, first=16)
    search.report(True)
    assert search.done
    assert not search.found
    search = Search(10_000, first=16)
    for within in (True, False, False):
        search.report(within)
        assert not search.found
    while not search.done:
        search.report(search.clients <= 20)
    assert search.found
