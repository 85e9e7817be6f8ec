"""When a worker that lives counts as stuck."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from workers.stuck import LONGEST_PATIENCE, Standstill

PATIENCE = 15.0
BOTH = {0, 1}


@pytest.fixture
def standstill() -> Standstill:
    """Two workers at offset 5 that work; nothing has moved since the last look."""
    standstill = Standstill(PATIENCE)
    for partition in BOTH:
        standstill.said(partition, 5)
    standstill.look({0: 5, 1: 5}, BOTH, 3.0)
    return standstill


def looks(
    standstill: Standstill,
    seconds: float,
    ends: dict[int, int] | None,
    ready: Collection[int] = BOTH,
) -> list[int]:
    """Who is found within this time, by a look each second."""
    return [n for _ in range(round(seconds)) for n in standstill.look(ends, ready, 1.0)]


def test_who_stands_still_before_records_is_found_after_the_patience(standstill: Standstill):
    """And not who has nothing to decide."""
    assert looks(standstill, 14, {0: 6, 1: 5}) == []
    assert looks(standstill, 1, {0: 6, 1: 5}) == [0]


def test_who_moves_at_all_is_not_stuck(standstill: Standstill):
    """However far the log is ahead."""
    for offset in range(6, 100):
        assert looks(standstill, 14, {0: 10_000}) == []
        standstill.said(0, offset)


def test_time_in_which_kafka_does_not_answer_counts_for_nothing(standstill: Standstill):
    """The patience begins anew when it is back: who waits for Kafka cannot move at once."""
    assert looks(standstill, 14, {0: 6}) == []
    assert looks(standstill, 100, None) == []
    assert looks(standstill, 14, {0: 6}) == []
    assert looks(standstill, 1, {0: 6}) == [0]


def test_who_says_that_something_fails_it_is_left_alone_as_long_as_nobody_moves(
    standstill: Standstill,
):
    """A database that is away starts no round of replacements."""
    for partition in BOTH:
        standstill.failed(partition)
    assert looks(standstill, 1000, {0: 6, 1: 6}) == []


def test_who_alone_says_that_something_fails_it_is_found(standstill: Standstill):
    """The others move, so Kafka and Postgres are there."""
    standstill.failed(0)
    found = []
    for offset in range(6, 6 + 15):
        standstill.said(1, offset)
        found += looks(standstill, 1, {0: 6, 1: 100})
    assert found == [0]


def test_its_own_last_move_proves_nothing_about_the_others(standstill: Standstill):
    """It moved, and then its database was away."""
    standstill.said(0, 6)
    standstill.failed(0)
    standstill.failed(1)
    assert looks(standstill, 1000, {0: 7, 1: 5}) == []


def test_who_is_not_ready_is_not_stuck(standstill: Standstill):
    """A crash loop has its own delays, which a replacement would cut short."""
    assert looks(standstill, 1000, {0: 6, 1: 5}, ready={1}) == []


def test_each_replacement_at_the_same_offset_waits_twice_as_long(standstill: Standstill):
    """So that what is only slow gets through; a move makes it impatient again."""
    seconds, waited = PATIENCE, []
    while len(waited) < 8:
        assert looks(standstill, seconds - 1, {0: 6}) == []
        assert looks(standstill, 1, {0: 6}) == [0]
        waited.append(seconds)
        seconds = min(seconds * 2, LONGEST_PATIENCE)
        standstill.said(0, 5)  # the successor begins where it stands
    assert waited[-1] == LONGEST_PATIENCE
    standstill.said(0, 6)
    standstill.look({0: 6}, BOTH, 1.0)
    assert looks(standstill, PATIENCE, {0: 7}) == [0]


def test_a_partition_that_is_somewhere_else_is_forgotten(standstill: Standstill):
    """Its next worker here begins anew."""
    assert looks(standstill, 14, {0: 6}) == []
    standstill.forget(0)
    standstill.said(0, 5)
    assert looks(standstill, 14, {0: 6}) == []
