"""When a worker that lives counts as stuck."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from workers.supervisor.stall_detector import LONGEST_PATIENCE_SECONDS, StallTimes

PATIENCE_SECONDS = 15.0
BOTH = {0, 1}


@pytest.fixture
def stall_times() -> StallTimes:
    """Two workers at offset 5 that work; nothing has moved since the last look."""
    stall_times = StallTimes(PATIENCE_SECONDS)
    for partition in BOTH:
        stall_times.progressed(partition, 5)
    stall_times.check({0: 5, 1: 5}, BOTH, 3.0)
    return stall_times


def looks(
    stall_times: StallTimes,
    seconds: float,
    ends: dict[int, int],
    ready: Collection[int] = BOTH,
) -> list[int]:
    """The partitions that are found within this time, by a look each second."""
    return [n for _ in range(round(seconds)) for n in stall_times.check(ends, ready, 1.0)]


def test_who_stands_still_before_records_is_found_after_the_patience(stall_times: StallTimes):
    """A partition with nothing to decide is not found."""
    assert looks(stall_times, 14, {0: 6, 1: 5}) == []
    assert looks(stall_times, 1, {0: 6, 1: 5}) == [0]


def test_who_moves_at_all_is_not_stuck(stall_times: StallTimes):
    """However far the log is ahead."""
    for offset in range(6, 100):
        assert looks(stall_times, 14, {0: 10_000}) == []
        stall_times.progressed(0, offset)


def test_time_in_which_kafka_does_not_answer_counts_for_nothing(stall_times: StallTimes):
    """The patience begins anew when it is back: waiting owners cannot move at once."""
    assert looks(stall_times, 14, {0: 6}) == []
    assert looks(stall_times, 100, {}) == []
    assert looks(stall_times, 14, {0: 6}) == []
    assert looks(stall_times, 1, {0: 6}) == [0]


def test_one_partition_without_an_answer_hides_no_other(stall_times: StallTimes):
    """As where it has no leader: its own worker is not to blame, and the next one's is found."""
    assert looks(stall_times, 15, {0: 6}) == [0]


def test_who_says_that_something_fails_it_is_left_alone_as_long_as_nobody_moves(
    stall_times: StallTimes,
):
    """A database that is away starts no round of replacements."""
    for partition in BOTH:
        stall_times.dependency_failed(partition)
    assert looks(stall_times, 1000, {0: 6, 1: 6}) == []


def test_who_alone_says_that_something_fails_it_is_found(stall_times: StallTimes):
    """The others move, so Kafka and Postgres are there."""
    stall_times.dependency_failed(0)
    found = []
    for offset in range(6, 6 + 15):
        stall_times.progressed(1, offset)
        found += looks(stall_times, 1, {0: 6, 1: 100})
    assert found == [0]


def test_its_own_last_move_proves_nothing_about_the_others(stall_times: StallTimes):
    """It moved, and then its database was away."""
    stall_times.progressed(0, 6)
    stall_times.dependency_failed(0)
    stall_times.dependency_failed(1)
    assert looks(stall_times, 1000, {0: 7, 1: 5}) == []


def test_who_is_not_ready_is_not_stuck(stall_times: StallTimes):
    """A crash loop has its own delays, which a replacement would cut short."""
    assert looks(stall_times, 1000, {0: 6, 1: 5}, ready={1}) == []


def test_each_replacement_at_the_same_offset_waits_twice_as_long(stall_times: StallTimes):
    """So that what is only slow gets through; a move makes it impatient again."""
    seconds, waited = PATIENCE_SECONDS, []
    while len(waited) < 8:
        assert looks(stall_times, seconds - 1, {0: 6}) == []
        assert looks(stall_times, 1, {0: 6}) == [0]
        waited.append(seconds)
        seconds = min(seconds * 2, LONGEST_PATIENCE_SECONDS)
        stall_times.progressed(0, 5)  # the successor begins where it stands
    assert waited[-1] == LONGEST_PATIENCE_SECONDS
    stall_times.progressed(0, 6)
    stall_times.check({0: 6}, BOTH, 1.0)
    assert looks(stall_times, PATIENCE_SECONDS, {0: 7}) == [0]


def test_a_partition_that_is_somewhere_else_is_forgotten(stall_times: StallTimes):
    """Its next worker here begins anew."""
    assert looks(stall_times, 14, {0: 6}) == []
    stall_times.forget(0)
    stall_times.progressed(0, 5)
    assert looks(stall_times, 14, {0: 6}) == []


def test_who_waits_for_a_layout_is_not_stuck(stall_times: StallTimes):
    """A replacement would wait as well; once it goes on, its patience begins anew."""
    assert looks(stall_times, 14, {0: 6, 1: 6}) == []
    stall_times.progressed(0, 5)
    stall_times.waits_for_others(0)
    assert looks(stall_times, 1000, {0: 6}) == []
    stall_times.progressed(0, 5)
    assert looks(stall_times, 14, {0: 6}) == []
    assert looks(stall_times, 1, {0: 6}) == [0]
