"""The judge of a load test: the answers that it must find, and those that it must let pass."""

from __future__ import annotations

import random
from math import inf

import pytest

from loadtest.judge import STANDSTILL_SECONDS, complaint, judge
from loadtest.ledger import LIST, REGISTER, UNBLOCK, Ledger, Rules

RULES = Rules(threshold=5, window_seconds=900.0, block_seconds=1800.0)
REVEALED, LET_IN, CALLED_WRONG, REFUSED, LISTED = range(5)
NAMES, ORDER, STOOD_STILL, LATE, DOCUMENTED, SEEN, SLOWER, FULLER = range(5, 13)


def a_ledger(*attempts: tuple[bool, int | None, float, float], rules: Rules = RULES) -> Ledger:
    """A ledger of one account's attempts: right, status, sent, answered."""
    ledger = Ledger(rules)
    for right, status, sent, answered in sorted(attempts, key=lambda a: a[2]):
        attempt = ledger.begin("ana", right=right, now=sent)
        if status is not None:
            ledger.end("ana", attempt, status, now=answered)
    return ledger


def in_turn(*statuses: int, start: float = 0.0) -> list[tuple[bool, int | None, float, float]]:
    """Attempts one after the other; the right password where the answer is 200."""
    return [
        (status == 200, status, start + 10 * number, start + 10 * number + 1)
        for number, status in enumerate(statuses)
    ]


def at_once(*statuses: int) -> list[tuple[bool, int | None, float, float]]:
    """The same, all sent and answered at the same moment."""
    return [(status == 200, status, 0.0, 1.0) for status in statuses]


def broken(ledger: Ledger, must_see: frozenset[int] = frozenset()) -> list[int]:
    """The numbers of the checks that are broken. The order says of logins what the others say."""
    found = [n for n, check in enumerate(judge(ledger, must_see)) if not check.holds]
    assert (ORDER in found) == any(n <= LISTED for n in found)
    return [n for n in found if n != ORDER]


def without_order(ledger: Ledger) -> bool:
    """Whether that is the one check that is broken."""
    return [n for n, check in enumerate(judge(ledger, ())) if not check.holds] == [ORDER]


@pytest.mark.parametrize("order", [in_turn, at_once])
def test_five_wrong_and_then_refusals_hold(order: type) -> None:
    """The right behaviour passes, in turn and at once."""
    assert broken(a_ledger(*order(401, 401, 401, 401, 401, 429, 429))) == []


@pytest.mark.parametrize("order", [in_turn, at_once])
def test_a_sixth_wrong_answer_is_found(order: type) -> None:
    """Six wrong answers are one too many, in turn and at once."""
    assert broken(a_ledger(*order(401, 401, 401, 401, 401, 401))) == [REVEALED]


def test_a_sixth_wrong_answer_after_a_success_is_found() -> None:
    """An answer that a success allows before itself is not allowed after it."""
    assert broken(a_ledger(*in_turn(200, 401, 401, 401, 401, 401, 401))) == [REVEALED]


def test_a_success_in_between_clears_the_count() -> None:
    """Four wrong ones, a success and four more are no breach."""
    assert broken(a_ledger(*in_turn(401, 401, 401, 401, 200, 401, 401, 401, 401))) == []


def test_failures_further_apart_than_the_window_do_not_add_up() -> None:
    """Six failures over more than the window are no breach."""
    late = in_turn(401, 401, 401, start=899.0)
    assert broken(a_ledger(*in_turn(401, 401, 401), *late)) == []


def test_failures_around_the_end_of_a_block_do_not_add_up() -> None:
    """A block of 20 s is over before the sixth failure, which begins a new count."""
    rules = Rules(5, 900.0, 20.0)
    attempts = [*at_once(401, 401, 401, 401, 401), *in_turn(401, start=25.0)]
    assert broken(a_ledger(*attempts, rules=rules)) == []


def test_a_success_that_overlaps_may_have_come_in_between() -> None:
    """Where the order is not known, the order in which nothing is broken is assumed."""
    wrong = at_once(*[401] * 9)
    assert broken(a_ledger(*wrong, (True, 200, 0.5, 0.6))) == []


def test_more_failures_than_any_order_allows_are_found() -> None:
    """One success allows four failures before and five after it, and not one more."""
    wrong = at_once(*[401] * 10)
    assert broken(a_ledger(*wrong, (True, 200, 0.5, 0.6))) == [REVEALED]


@pytest.mark.parametrize("status", [None, 0, 503])
def test_a_right_password_of_unknown_fate_may_have_cleared_the_count(status: int | None) -> None:
    """A success that was never answered may stand in the log some time later."""
    attempts = [(True, status, -1.0, -0.5), *in_turn(*[401] * 4, start=-1.0)]
    attempts += [(False, 401, 32.0, 33.0)] * 5
    assert without_order(a_ledger(*attempts)) == (status == 503)
    assert broken(a_ledger(*attempts[:5], *[(False, 401, 1.0, 2.0)] * 5)) == []


def test_an_unblocking_gives_five_more_guesses_and_no_sixth() -> None:
    """An account that nobody unblocked has none of them."""
    attempts = [*in_turn(*[401] * 5), *in_turn(*[401] * 5, start=100.0)]
    assert broken(a_ledger(*attempts)) == [REVEALED]
    for more, expected in (([], False), ([(False, 401, 200.0, 201.0)], True)):
        ledger = a_ledger(*attempts, *more)
        ledger.answer(ledger.ask("ana", UNBLOCK, now=80.0), 200, now=81.0)
        assert without_order(ledger) == expected


@pytest.mark.parametrize(("again", "expected"), [(401, True), (429, False)])
def test_an_unblocking_that_was_answered_503_does_not_come_later(
    again: int, expected: bool
) -> None:
    """Its sender was told that it has done nothing, and may have unblocked since."""
    ledger = a_ledger(*in_turn(*[401] * 5), *in_turn(*[401] * 5, again, start=100.0))
    ledger.answer(ledger.ask("ana", UNBLOCK, now=70.0), 503, now=75.0)
    ledger.answer(ledger.ask("ana", UNBLOCK, now=80.0), 200, now=81.0)
    assert without_order(ledger) == expected


def test_what_the_run_cut_off_may_have_come_into_the_log() -> None:
    """An unblocking that was under way explains why an account is not on the list."""
    ledger = a_ledger(*in_turn(*[401] * 5))
    ledger.looked_up("ana", 404, sent=80.0, now=81.0, kind=LIST)
    assert without_order(ledger)
    ledger.ask("ana", UNBLOCK, now=79.0)
    assert not without_order(ledger)


def test_a_wrong_password_that_gets_in_is_found() -> None:
    """A 200 for a wrong password is the worst of all."""
    assert broken(a_ledger((False, 200, 0.0, 1.0))) == [LET_IN]


def test_a_right_password_that_gets_in_past_a_block_is_found() -> None:
    """After five wrong ones in a row not even the right one gets in."""
    assert broken(a_ledger(*in_turn(401, 401, 401, 401, 401, 200))) == [LET_IN]


def test_a_right_password_gets_in_when_the_block_is_over() -> None:
    """After the time of the block it does get in."""
    attempts = [*in_turn(401, 401, 401, 401, 401), (True, 200, 1900.0, 1901.0)]
    assert broken(a_ledger(*attempts)) == []


def test_a_right_password_that_is_called_wrong_is_found() -> None:
    """A 401 for the right password is never right."""
    assert broken(a_ledger((True, 401, 0.0, 1.0))) == [CALLED_WRONG]


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("status", [403, 429])
def test_a_refusal_after_four_wrong_ones_is_found(right: bool, status: int) -> None:
    """Four wrong passwords block nobody."""
    attempts = [*in_turn(401, 401, 401, 401), (right, status, 100.0, 101.0)]
    assert broken(a_ledger(*attempts)) == [REFUSED]


@pytest.mark.parametrize("unknown", [None, 0, 503])
def test_a_wrong_password_of_unknown_fate_may_have_counted(unknown: int | None) -> None:
    """A fifth wrong one without an answer may be what blocked."""
    attempts = [*in_turn(401, 401, 401, 401), (False, unknown, 50.0, 51.0), (True, 429, 60.0, 61.0)]
    assert broken(a_ledger(*attempts)) == []


def test_failures_before_a_success_are_no_cause_for_a_refusal() -> None:
    """A failure that a success has cleared blocks nobody later."""
    assert broken(a_ledger(*in_turn(401, 401, 401, 401, 200, 401, 429))) == [REFUSED]


def test_a_success_that_overtook_another_clears_too() -> None:
    """Of the successes that were answered before a refusal, the one sent last has cleared."""
    successes = (True, 200, 0.0, 20.0), (True, 200, 5.0, 100.0), (True, 200, 10.0, 30.0)
    wrong = [*[(False, 401, 1.0, 2.0)] * 4, (False, 401, 40.0, 41.0)]
    assert broken(a_ledger(*successes, *wrong, (True, 429, 50.0, 51.0))) == [REFUSED, LATE]


def test_a_wrong_password_of_unknown_fate_may_count_after_a_success() -> None:
    """An attempt that got 503 may reach the log later than a success that was sent later."""
    attempts = [(False, 503, 0.0, 1.0), *in_turn(200, 401, 401, 401, 401, 429, start=10.0)]
    assert broken(a_ledger(*attempts)) == []


def test_failures_sent_after_a_refusal_are_no_cause_for_it() -> None:
    """A refusal needs its five wrong ones before itself."""
    attempts = [(True, 429, 0.0, 1.0), *in_turn(401, 401, 401, 401, 401, start=2.0)]
    assert broken(a_ledger(*attempts)) == [REFUSED]


def test_the_fifth_wrong_answer_proves_the_block() -> None:
    """With the fifth in hand the account must be listed; with the fourth not yet."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401))
    assert not ledger.must_be_listed("ana", now=50.0)
    attempt = ledger.begin("ana", right=False, now=50.0)
    ledger.end("ana", attempt, 401, now=51.0)
    assert ledger.must_be_listed("ana", now=51.0)


def test_the_fifth_wrong_answer_after_a_success_proves_the_block() -> None:
    """The block is not made of failures that a success has cleared."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 200, 401, 401, 401, 401, 401))
    assert ledger.must_be_listed("ana", now=100.0)


def test_a_right_password_under_way_leaves_the_block_unproven() -> None:
    """It may have come between the third and the fourth."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401), (True, None, 25.0, inf))
    assert not ledger.must_be_listed("ana", now=50.0)


def test_a_block_that_may_be_over_need_not_be_listed() -> None:
    """After the time of the block nothing is proven any more."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401))
    assert not ledger.must_be_listed("ana", now=1900.0)


@pytest.mark.parametrize(("status", "expected"), [(200, []), (503, []), (404, [LISTED])])
def test_a_blocked_account_that_is_not_listed_is_found(status: int, expected: list[int]) -> None:
    """A 404 is a breach; a documented 503 says nothing."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401))
    ledger.looked_up("ana", status, sent=50.0, now=51.0)
    assert broken(ledger) == expected


def test_a_look_up_before_the_fifth_answer_proves_nothing() -> None:
    """The fifth must be in hand before it is asked."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401))
    ledger.looked_up("ana", 404, sent=40.9, now=60.0)
    assert broken(ledger) == []


def test_a_success_during_the_look_up_leaves_it_without_proof() -> None:
    """The account may be unlisted because of a call that another process saw."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401), (True, 503, 39.0, 51.0))
    ledger.looked_up("ana", 404, sent=50.0, now=51.0)
    assert broken(ledger) == [LATE]


@pytest.mark.parametrize(("now", "expected"), [(128.0, [LISTED]), (131.0, [])])
def test_a_refusal_says_how_long_a_block_must_be_listed(now: float, expected: list[int]) -> None:
    """A client that is told to wait for 30 seconds finds the block, for 29 of them at least."""
    ledger = a_ledger(*in_turn(401, 401, 401, 401), (False, None, 45.0, inf))
    ledger.end("ana", ledger.begin("ana", right=False, now=100.0), 429, now=101.0, retry_after=30)
    assert ledger.must_be_listed("ana", now=101.0)
    assert not ledger.must_be_listed("ana", now=101.0)
    ledger.looked_up("ana", 404, sent=101.5, now=now)
    found = [n for n, check in enumerate(judge(ledger, ())) if not check.holds]
    assert [n for n in found if n != ORDER] == expected  # it does not know how long blocks are


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([201, 409, 409], []),
        ([503, 409], []),
        ([201, 503], []),
        ([201, 201], [NAMES]),
        ([409, 409], [NAMES]),
    ],
)
def test_a_new_name_goes_to_one(statuses: list[int], expected: list[int]) -> None:
    """Two owners are wrong, and a name that is taken by nobody, too."""
    ledger = a_ledger()
    for status in statuses:
        ledger.answer(ledger.ask("ana", REGISTER, now=0.0), status, now=1.0)
    assert broken(ledger) == expected


def test_a_time_in_which_nobody_got_in_is_found() -> None:
    """Overload refuses some, and others get in all the time."""
    far = STANDSTILL_SECONDS + 5
    kept = [(True, 200, 0.0, 1.0), (True, 503, 2.0, 5.0), (True, 503, far, far + 1)]
    assert broken(a_ledger(*kept)) == [STOOD_STILL]
    between = (True, 200, 2.0, 9.0)
    assert broken(a_ledger(*kept, between)) == []


def test_a_time_in_which_nobody_tried_is_no_standstill() -> None:
    """Quiet is not overload."""
    far = STANDSTILL_SECONDS + 5
    quiet = (True, 200, 0.0, 1.0), (True, 503, 2.0, 3.0), (True, 200, far, far + 1)
    assert broken(a_ledger(*quiet)) == []


def test_logins_that_get_much_slower_are_found() -> None:
    """Only in a run with a steady load."""
    attempts = [(True, 200, float(n), n + (0.9 if n > 100 else 0.1)) for n in range(125)]
    ledger = a_ledger(*attempts)
    assert broken(ledger) == []
    assert [n for n, c in enumerate(judge(ledger, (), steady=True)) if not c.holds] == [SLOWER]
    even = a_ledger(*((True, 200, float(n), n + 0.1) for n in range(125)))
    assert all(check.holds for check in judge(even, (), steady=True))


@pytest.mark.parametrize(("seconds", "expected"), [(9.0, []), (25.0, [LATE])])
def test_an_answer_long_after_the_deadline_is_found(seconds: float, expected: list[int]) -> None:
    """Its client has been told 503 by then, or has left."""
    assert broken(a_ledger((True, 200, 0.0, seconds))) == expected
    patient = judge(a_ledger((True, 200, 0.0, seconds)), (), deadline=20.0)
    assert all(check.holds for check in patient)


@pytest.mark.parametrize(("sent", "expected"), [(40.0, []), (15.0, [LATE])])
def test_a_system_that_hangs_is_found(sent: float, expected: list[int]) -> None:
    """Its last logins have no answer at all when the run ends and cuts them off."""
    ledger = a_ledger(*in_turn(200))
    ledger.begin("ana", right=True, now=sent).answered = 45.0
    assert broken(ledger) == expected


def of_an_overload(*let_in: int) -> list[tuple[bool, int | None, float, float]]:
    """Right logins, 100 within 50 s for each of these numbers, of which so many get in, spread."""
    return [
        (True, 200 if n * 37 % 100 < number else 503, 50 * part + n / 2, 50 * part + n / 2 + 1)
        for part, number in enumerate(let_in)
        for n in range(100)
    ]


@pytest.mark.parametrize(
    ("let_in", "expected"),
    [
        ([100, 100, 100, 100, 100], []),
        ([100, 100, 100, 100, 80], []),
        ([100, 100, 100, 100, 60], [FULLER]),
        ([30, 30, 30, 30, 30], [FULLER]),
    ],
)
def test_a_steady_load_that_gets_in_less_and_less_is_found(
    let_in: list[int], expected: list[int]
) -> None:
    """Though somebody gets in every few seconds, and as quickly as ever."""
    ledger = a_ledger(*of_an_overload(*let_in))
    assert [n for n, c in enumerate(judge(ledger, (), steady=True)) if not c.holds] == expected


@pytest.mark.parametrize(("at_the_end", "holds"), [(90, True), (20, False)])
def test_an_overload_that_stays_when_the_crowd_has_left_is_found(
    at_the_end: int, holds: bool
) -> None:
    """While there is a crowd, most may be told to come again."""
    ledger = a_ledger(*of_an_overload(100, 20, 20, at_the_end))
    *others, recovered = judge(ledger, (), calm_from=150.0)
    assert all(check.holds for check in others)
    assert recovered.holds == holds


def test_an_undocumented_answer_is_found() -> None:
    """A complaint about an answer breaks the run."""
    ledger = a_ledger()
    attempt = ledger.begin("ana", right=True, now=0.0)
    ledger.end("ana", attempt, 500, now=1.0, problem="login was 500")
    assert broken(ledger) == [DOCUMENTED]


def test_a_run_that_measured_nothing_does_not_hold() -> None:
    """An answer or a look-up that the scenario is about and that never came breaks the run."""
    assert broken(a_ledger(), frozenset({200})) == [SEEN]
    assert broken(a_ledger(*in_turn(200)), frozenset({200})) == []
    ledger = a_ledger(*in_turn(401, 401, 401, 401, 401, 429))
    assert broken(ledger, frozenset({401, 429})) == [SEEN]
    ledger.looked_up("ana", 200, sent=70.0, now=71.0)
    assert broken(ledger, frozenset({401, 429})) == []


@pytest.mark.parametrize(
    ("status", "retry_after", "body", "found"),
    [
        (200, None, None, None),
        (429, "30", None, None),
        (503, "1", {"error": "Busy."}, None),
        (0, None, None, "no answer"),
        (500, None, None, "500"),
        (404, None, None, "404"),
        (429, None, None, "Retry-After"),
        (503, None, {"error": "Busy."}, "Retry-After"),
        (503, "soon", {"error": "Busy."}, "Retry-After"),
        (503, "1", None, "JSON"),
        (503, "1", {"error": 7}, "JSON"),
    ],
)
def test_only_documented_answers_pass(
    status: int, retry_after: str | None, body: object, found: str | None
) -> None:
    """Every other status or form is complained about, and named."""
    said = complaint("login", status, {200, 401, 403, 429}, retry_after, body)
    assert (found in said) if found and said else said is found


@pytest.mark.parametrize("seed", range(200))
def test_a_right_system_is_never_accused(seed: int) -> None:
    """Random clients of a right system, whose log decides anywhere between sent and answered."""
    rng = random.Random(seed)
    sent = sorted((rng.uniform(0, 30), rng.random() < 0.3) for _ in range(40))
    attempts = []
    for start, right in sent:
        decided = start + rng.uniform(0, 5)
        attempts.append((decided, start, decided + rng.uniform(0, 5), right))
    failures, ledger = 0, Ledger(RULES)
    noted = {a: ledger.begin("ana", right=a[3], now=a[1]) for a in attempts}
    answers = []
    for a in sorted(attempts):
        status = 429 if failures >= 5 else 200 if a[3] else 401
        failures = {429: failures, 200: 0, 401: failures + 1}[status]
        answers.append((a[2], a, 503 if rng.random() < 0.1 else status, failures >= 5))
    blocked_at = min((a[0] for _, a, _, blocked in answers if blocked), default=inf)
    for answered, a, status, _ in sorted(answers):
        ledger.end("ana", noted[a], status, now=answered)
        if ledger.must_be_listed("ana", now=answered):
            assert blocked_at <= answered
    assert broken(ledger) == []


def test_a_503_that_comes_too_early_is_no_documented_answer() -> None:
    """Where its client was to be waited for."""
    body = {"error": "later"}
    assert complaint("login", 503, {200}, "1", body) is None
    assert "long before its deadline" in str(complaint("login", 503, {200}, "1", body, early=True))
    assert complaint("login", 200, {200}, None, None, early=True) is None


def test_a_login_that_was_refused_for_its_source_says_nothing_of_its_account() -> None:
    """It is a 429 without any wrong password before, which for an account would be a mistake."""
    ledger = a_ledger(*in_turn(401, 200))
    refused = ledger.begin("ana", right=True, now=20.0)
    ledger.withdraw("ana", refused)
    assert broken(ledger) == []
    ledger.end("ana", ledger.begin("ana", right=True, now=30.0), 429, now=31.0)
    assert broken(ledger) == [REFUSED]
