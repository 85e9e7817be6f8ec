"""The knowledge of the brokers' clock is true."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blocklist.log_clock import KEPT_SECONDS, ClockBounds, LogClock

START_MS = 1_800_000_000_000


def test_a_record_bounds_the_clock_from_both_sides() -> None:
    """By when it was not appended yet and when it was."""
    clock = LogClock()
    assert clock.bounds(10.0) is None
    clock.learn(10.0, 10.5, START_MS)
    assert clock.bounds(10.5) == ClockBounds(START_MS, START_MS + 501)
    assert clock.bounds(12.5) == ClockBounds(START_MS + 2000, START_MS + 2501)


def test_the_tightest_bounds_count() -> None:
    """One record may be late, and another one early."""
    clock = LogClock()
    clock.learn(10.0, 10.5, START_MS)
    clock.learn(11.0, 11.1, START_MS + 900)
    clock.learn(12.0, 14.0, START_MS + 2000)
    assert clock.bounds(14.0) == ClockBounds(START_MS + 3800, START_MS + 3901)


def test_a_record_may_bound_the_clock_from_below_only() -> None:
    """Then the time can be shown, and nobody be refused by it."""
    clock = LogClock()
    clock.learn(-inf, 10.5, START_MS)
    assert clock.bounds(10.5) is None
    assert clock.earliest_ms(10.5) == START_MS
    clock.learn(10.2, 11.0, START_MS + 400)
    assert clock.bounds(11.0) == ClockBounds(START_MS + 500, START_MS + 1201)


def test_old_records_say_nothing() -> None:
    """But something is better than nothing where a time is only shown."""
    clock = LogClock()
    assert clock.earliest_ms(10.0) is None
    clock.learn(10.0, 10.001, START_MS)
    clock.learn(10.0, 12.0, START_MS + 1)
    assert clock.bounds(12.0 + KEPT_SECONDS) is not None
    assert clock.bounds(12.1 + KEPT_SECONDS) is None
    assert clock.earliest_ms(100.001) == START_MS + 90_000
    clock.learn(90.0, 90.5, START_MS)
    assert clock.bounds(90.5) == ClockBounds(START_MS, START_MS + 501)


@pytest.mark.parametrize("jump_ms", [-60_000, -600, 600, 60_000])
def test_a_clock_that_was_set_is_believed_at_once(jump_ms: int) -> None:
    """A record that contradicts the last one is of another clock."""
    clock = LogClock()
    clock.learn(10.0, 10.5, START_MS)
    clock.learn(11.0, 11.5, START_MS + 1000 + jump_ms)
    assert clock.bounds(11.5) == ClockBounds(START_MS + 1000 + jump_ms, START_MS + 1501 + jump_ms)


@pytest.mark.parametrize(
    ("host_ms", "seconds"), [(-60_000, -60.0), (0, 0.0), (501, 0.0), (3_501, 3.0)]
)
def test_the_host_is_compared(host_ms: int, seconds: float) -> None:
    """As far as both are sure to differ."""
    clock = LogClock()
    assert clock.difference_seconds(10.5, START_MS + host_ms) == 0.0
    clock.learn(10.0, 10.5, START_MS)
    assert clock.difference_seconds(10.5, START_MS + host_ms) == seconds


moments = st.lists(
    st.tuples(st.floats(0.0, 4.0), st.floats(0.0, 2.0), st.floats(0.0, 2.0)), min_size=1
)


@given(moments, st.floats(-1e6, 1e6))
def test_the_time_is_always_between_the_bounds(
    records: list[tuple[float, float, float]], ahead: float
) -> None:
    """The delays before and after the appending do not matter."""
    clock, now = LogClock(), 1e6
    for pause, before, after in records:
        now += pause
        appended = now + before
        clock.learn(now, appended + after, START_MS + int((appended + ahead) * 1000))
        now = appended + after
        bounds = clock.bounds(now)
        assert bounds is not None
        assert bounds.earliest_ms <= START_MS + (now + ahead) * 1000 <= bounds.latest_ms
        assert bounds.latest_ms - bounds.earliest_ms <= (before + after) * 1000 + 3


@given(
    st.lists(
        st.tuples(st.floats(0.0, 6.0), st.floats(0.0, 2.0), st.integers(-1_500, 1_500)), min_size=1
    )
)
def test_what_is_forgotten_bounds_nothing(records: list[tuple[float, float, int]]) -> None:
    """It comes to the same as looking at all records of the last seconds."""
    clock = LogClock()
    kept: list[tuple[float, float, float]] = []
    now = 100.0
    for step, width, late_ms in records:
        now += step
        appended_ms = START_MS + round(now * 1000) + late_ms
        clock.learn(now - width, now, appended_ms)
        least, most = appended_ms - now * 1000, appended_ms + 1 - (now - width) * 1000
        if any(least > other or most < one for _, one, other in kept):
            kept.clear()
        kept = [one for one in kept if one[0] >= now - KEPT_SECONDS]
        kept.append((now, least, most))
        assert clock._least == max(least for _, least, _ in kept)
        assert clock._most == min(most for _, _, most in kept)
