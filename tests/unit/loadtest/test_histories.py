"""The checker of histories: it finds an order where there is one, and only there."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import histories
from loadtest.histories import Call, ClockApart, Era, Rules, judge

RULES = Rules(threshold=5)
SHORT = Rules(threshold=2, window_ms=5_000, block_ms=3_000, block_max_ms=12_000)


def one_after_another(*calls: tuple[str, int]) -> list[Call]:
    """Calls that do not overlap, ten milliseconds apart."""
    return [Call(kind, status, 10 * n, 10 * n + 5) for n, (kind, status) in enumerate(calls)]


def at_once(*calls: tuple[str, int]) -> list[Call]:
    """Calls that all overlap."""
    return [Call(kind, status, 0, 100) for kind, status in calls]


def by_device(*calls: tuple[str, int]) -> list[Call]:
    """One after another, where "right@1" is one by a device."""
    made = []
    for call in one_after_another(*calls):
        kind, _, device = call.kind.partition("@")
        made.append(replace(call, kind=kind, device=device))
    return made


WRONG, REFUSED = ("wrong", 401), ("wrong", 429)


@pytest.mark.parametrize(
    "calls",
    [
        one_after_another(*[WRONG] * 5, REFUSED, ("look", 200), ("unblock", 200), ("look", 404)),
        one_after_another(*[WRONG] * 4, ("right", 200), *[WRONG] * 5, ("right", 429)),
        one_after_another(*[WRONG] * 4, ("register", 201), *[WRONG] * 5, ("look", 200)),
        one_after_another(*[WRONG] * 3, ("wrong", 503), WRONG, REFUSED),  # the 503 has counted
        one_after_another(*[WRONG] * 3, ("wrong", 503), WRONG, WRONG),  # it has not
        at_once(*[WRONG] * 5, *[REFUSED] * 195),
        at_once(*[WRONG] * 9, ("right", 200), REFUSED),
        at_once(*[("right", 200)] * 100),
        by_device(
            *[WRONG] * 5, ("right@1", 200), ("wrong@1", 401), ("right@1", 200), ("look", 200)
        ),
        by_device(*[("wrong@1", 401)] * 5, ("right@1", 429), ("look", 404), ("right", 200)),
        by_device(*[("wrong@1", 401)] * 4, ("right@1", 200), ("wrong@1", 401), ("wrong@1", 429)),
        by_device(*[("wrong@1", 401)] * 5, *[WRONG] * 5, ("right@2", 200), ("right@1", 429)),
        by_device(*[("wrong@1", 401)] * 5, ("unblock", 404), ("right@1", 200)),
        by_device(*[("wrong@1", 401)] * 5, ("register", 201), *[("wrong@1", 401)] * 5),
    ],
)
def test_what_can_be_explained_is(calls: list[Call]) -> None:
    """In whichever order it was noted."""
    random.Random(1).shuffle(calls)
    assert judge(calls, RULES) is None


@pytest.mark.parametrize(
    "calls",
    [
        by_device(*[("wrong@1", 401)] * 6),  # of a device too
        by_device(*[("wrong@1", 401)] * 4, ("wrong@1", 429)),
        by_device(*[WRONG] * 5, ("right@1", 429)),  # refused for what strangers did
        by_device(*[WRONG] * 5, ("right@1", 200), ("right", 200)),  # a device lets no stranger in
        by_device(*[WRONG] * 4, ("wrong@1", 401), REFUSED),  # it counts for nobody else
        by_device(*[("wrong@1", 401)] * 5, ("look", 200)),
        by_device(*[("wrong@1", 401)] * 5, ("right@1", 200)),
        by_device(*[WRONG] * 4, ("right@1", 200), *[WRONG] * 2),  # it clears for nobody else
        one_after_another(*[WRONG] * 6),  # six wrong ones were revealed
        at_once(*[WRONG] * 6),
        one_after_another(*[WRONG] * 4, REFUSED),  # blocked too early
        one_after_another(*[WRONG] * 5, ("right", 200)),  # past the block
        one_after_another(*[WRONG] * 5, ("look", 404)),  # the fifth answer's client finds it listed
        one_after_another(*[WRONG] * 5, ("list", 404)),
        one_after_another(*[WRONG] * 4, ("look", 200)),
        one_after_another(*[WRONG] * 4, ("list", 200)),
        one_after_another(*[WRONG] * 5, ("unblock", 404)),
        one_after_another(("unblock", 200)),
        one_after_another(*[WRONG] * 5, ("unblock", 200), *[WRONG] * 6),
        one_after_another(*[WRONG] * 4, ("right", 200), WRONG, REFUSED),
        one_after_another(("wrong", 200)),
        one_after_another(("right", 401)),
        at_once(*[("right", 200)] * 99, ("right", 429)),
    ],
)
def test_what_breaks_a_promise_is_found(calls: list[Call]) -> None:
    """Whichever answer it is."""
    assert judge(calls, RULES) is not None


def test_a_late_clearing_gives_no_more_guesses() -> None:
    """A DELETE without an answer must not take effect after its last moment."""
    calls = one_after_another(*[WRONG] * 5, ("unblock", 503), ("unblock", 200), *[WRONG] * 9)
    assert judge(calls, RULES) is None  # some time later, for all that is known
    calls[5] = replace(calls[5], last=calls[5].end)
    assert judge(calls, RULES) is not None


def test_what_came_into_the_log_in_time_may_take_effect_much_later() -> None:
    """No worker was there for a while; a call that comes into the log later comes later."""
    blocked, lost = one_after_another(*[WRONG] * 5), Call("unblock", 503, 100, 200, last=200)
    seen = [Call("look", 200, 1_000, 1_010), Call("look", 404, 2_000, 2_010)]
    assert judge([*blocked, lost, *seen], RULES) is None
    again = Call("unblock", 200, 300, 1_500)
    wrong = [Call("wrong", 401, 3_000 + n, 3_000 + n) for n in range(6)]
    assert judge([*blocked, lost, again, *wrong[:5]], RULES) is None
    assert judge([*blocked, lost, again, *wrong], RULES) is not None


def test_of_calls_that_are_alike_the_later_one_may_have_come_first() -> None:
    """The one that can wait less comes first, unless the moment matters."""
    calls = [
        *(
            Call("wrong", 401, 0, 10),
            Call("wrong", 401, 20, 4_000),
            Call("wrong", 401, 3_500, 3_900),
        ),
        *(Call("right", 429, 3_600, 3_600), Call("wrong", 401, 3_610, 3_615)),
    ]
    assert judge(calls, SHORT) is None


def test_a_block_that_may_be_longer_is_over_for_nobody() -> None:
    """Until somebody was let in."""
    calls = [*one_after_another(*[WRONG] * 5), Call("right", 429, 1e9, 1e9)]
    assert judge(calls, RULES) is not None
    assert judge(calls, RULES._replace(at_least=True)) is None
    early = [*one_after_another(*[WRONG] * 5), Call("right", 200, 1e6, 1e6)]
    assert judge(early, RULES._replace(at_least=True)) is not None


@pytest.mark.parametrize("ahead", [180_000, -180_000])
def test_a_block_follows_the_clock_of_the_log(ahead: float) -> None:
    """Its time while it was wrong counts, for the block's end only."""
    clocks = [ClockApart(0, 5_000, ahead)]
    guesses = [Call("wrong", 401, 1_000 + n, 1_000 + n) for n in range(5)]
    rules = RULES._replace(block_ms=100_000)
    over = [*guesses, Call("right", 200, 10_000, 10_010)]
    assert judge(over, rules) is not None
    assert (judge(over, rules, clocks) is None) == (ahead < 0)
    stands = [*guesses, Call("right", 429, 200_000, 200_010)]
    assert judge(stands, rules) is not None
    assert (judge(stands, rules, clocks) is None) == (ahead > 0)
    assert judge([*guesses, Call("wrong", 401, 1_006, 1_006)], RULES, clocks) is not None
    lost = Call("unblock", 503, 1_100, 1_200, last=1_200)
    late = [Call("wrong", 401, 3_000 + n, 3_000 + n) for n in range(5)]
    lifted = Call("unblock", 200, 1_300, 1_400)
    assert judge([*guesses, lost, lifted, *late], RULES, clocks) is None
    assert judge([*guesses, lost, lifted, *late, replace(late[-1], end=3_100)], RULES) is not None


def test_a_block_that_is_over_may_seem_to_stand_again_where_a_clock_goes_back() -> None:
    """By a gateway's view and by the list, and not after an unblocking."""
    guesses = [Call("wrong", 401, n, n) for n in (0, 1)]
    later = [Call("wrong", 401, 4_000, 4_000), Call("list", 200, 4_500, 4_510)]
    clocks = [ClockApart(4_400, 5_000, -90_000)]
    assert judge([*guesses, *later], SHORT) is not None
    assert judge([*guesses, *later], SHORT, clocks) is None
    assert judge([*guesses, Call("right", 200, 3_900, 3_910), *later], SHORT, clocks) is None
    assert judge([*guesses, Call("unblock", 200, 20, 30), *later], SHORT, clocks) is not None


def test_what_was_decided_long_ago_is_found_among_many_calls_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The unblocking at the begin took effect, as is seen when twenty wrong ones block nobody."""
    monkeypatch.setattr(histories, "MOST_STATES", 5_000)
    rules = Rules(window_ms=30_000, block_ms=2_000, final_failures=20)

    def each(kind: str, status: int, *seconds: int) -> list[Call]:
        return [Call(kind, status, 1000 * at + 10, 1000 * at + 20) for at in seconds]

    calls = [
        *each("wrong", 401, *range(0, 230, 10)),
        *each("wrong", 503, *range(34, 225, 7)),
        *each("list", 404, *range(1, 230)),
    ]
    assert judge([*calls, Call("unblock", 503, 32_000, 32_500, last=33_000)], rules) is None


def test_a_long_history_is_no_wide_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm has hundreds of thousands of refusals, and there is one order for them."""
    monkeypatch.setattr(histories, "MOST_STATES", 50)
    storm = one_after_another(*[WRONG] * 5, *[REFUSED] * 500)
    assert judge(storm, RULES) is None
    wide = [Call("wrong", 401, 0, 10_000 + n) for n in range(9)]
    wide += [Call("right", 200, 0, 10_000 + n) for n in range(9)]
    gap = judge([*wide, *storm], RULES)
    assert gap is not None
    assert "too wide" in gap


def test_calls_without_an_answer_among_many_looks_are_no_wide_history() -> None:
    """Where no look can tell, it is the same wherever they stand between looks."""
    lost = [Call("wrong", 503, 10 * n, 10 * n + 5) for n in range(4)]
    looks = [Call("look", 404, 100 * n, 100 * n + 5) for n in range(1, 300)]
    blocked = Call("look", 200, 40_000, 40_005)
    guess = Call("wrong", 401, 35_000, 35_005)
    assert judge([*lost, *looks, guess, blocked], RULES) is None
    gap = judge([*lost[1:], *looks, guess, blocked], RULES)
    assert gap is not None
    assert "no order explains" in gap


def test_a_refusal_may_be_two_seconds_behind_an_unblocking_and_no_more() -> None:
    """So long a gateway may not have heard of it."""
    calls = [*one_after_another(*[WRONG] * 5), Call("unblock", 200, 1_000, 1_100)]
    assert judge([*calls, Call("right", 429, 3_000, 3_050)], RULES) is None
    assert judge([*calls, Call("right", 429, 3_200, 3_250)], RULES) is not None


def test_windows_and_blocks_end() -> None:
    """By the times that the calls allow."""
    calls = [Call("wrong", 401, 0, 10), Call("wrong", 401, 4_000, 4_010)]
    assert judge([*calls, Call("right", 429, 6_000, 6_010)], SHORT) is None
    assert judge([*calls, Call("right", 200, 6_000, 6_010)], SHORT) is not None
    assert judge([*calls, Call("right", 200, 7_020, 7_030)], SHORT) is None
    assert judge([*calls, Call("right", 429, 9_200, 9_210)], SHORT) is not None
    apart = [Call("wrong", 401, 0, 10), Call("wrong", 401, 5_100, 5_110)]
    assert judge([*apart, Call("wrong", 429, 7_000, 7_010)], SHORT) is not None


def test_the_log_may_be_read_long_after_it_was_written() -> None:
    """Then a block that nobody saw stand yet is half over when its cause is answered."""
    first = Call("wrong", 401, 0, 10)
    slow = Call("wrong", 401, 1_000, 4_500)
    looks = [Call("look", 404, 3_000, 3_010), Call("look", 200, 4_600, 4_610)]
    assert judge([first, slow, *looks, Call("look", 404, 5_000, 5_010)], SHORT) is None
    quick = replace(slow, begin=3_100)
    assert judge([first, quick, *looks, Call("look", 404, 5_000, 5_010)], SHORT) is not None


def test_while_the_policy_changes_either_may_hold() -> None:
    """Before and after, only one."""
    strict = RULES._replace(threshold=2)
    change = [Era(-inf, 1_000, RULES), Era(500, inf, strict)]
    for moment, may_block, must_block in (
        (0, False, False),
        (600, True, False),
        (1_100, True, True),
    ):
        guesses = [Call("wrong", 401, moment + n, moment + n) for n in (1, 2)]
        refused = [*guesses, Call("wrong", 429, moment + 3, moment + 3)]
        assert (judge(refused, change) is None) == may_block
        counted = [*guesses, Call("wrong", 401, moment + 3, moment + 3)]
        assert (judge(counted, change) is None) == (not must_block)


@given(st.randoms(use_true_random=False), st.integers(1, 60), st.integers(1, 12))
def test_every_history_of_a_true_log_is_explained(luck: random.Random, n: int, width: int) -> None:
    """Calls with overlapping times, of which some get no answer, in the order of their effects."""
    calls, wrong, blocked = [], 0, False
    for moment in range(n):
        kind = luck.choice(["wrong"] * 6 + ["right", "unblock", "look"])
        if kind == "look":
            status = 200 if blocked else 404
        elif kind == "unblock":
            status = 200 if blocked else 404
            wrong, blocked = 0, False
        elif blocked:
            status = 429
        elif kind == "right":
            status, wrong = 200, 0
        else:
            status, wrong = 401, wrong + 1
            blocked = wrong == RULES.threshold
        if luck.random() < 0.1:
            status = 503
        begin, end = moment - luck.random() * width, moment + luck.random() * width
        calls.append(Call(kind, status, begin * 10_000, end * 10_000))
    assert judge(calls, replace_times(RULES)) is None


def replace_times(rules: Rules) -> Rules:
    """The same rules with windows and blocks that never end."""
    return rules._replace(window_ms=1e12, block_ms=1e12, block_max_ms=1e12)
