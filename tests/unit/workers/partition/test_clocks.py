"""The things that an append time says of the clocks, and those that it does not."""

from __future__ import annotations

from workers.partition.clocks import Clocks

CLAIMED = 1000.0
"""When the worker saw the log end before offset 100, by its own clock, as all times here."""


def clocks() -> Clocks:
    """Those of a worker that has just claimed."""
    return Clocks(100, CLAIMED)


def test_what_waited_while_nobody_decided_says_nothing():
    """However old it is, and though all of it came at once."""
    assert clocks().difference(99, CLAIMED - 7200, CLAIMED + 1) == 0


def test_what_came_later_than_the_end_was_seen_was_appended_later():
    """Else the clocks differ, by that much at least."""
    assert clocks().difference(100, CLAIMED - 70, CLAIMED + 1) == 70
    assert clocks().difference(100, CLAIMED + 0.5, CLAIMED + 1) == 0


def test_what_comes_late_may_have_waited_since_the_end_was_seen():
    """As behind a commit that took more than a minute."""
    assert clocks().difference(100, CLAIMED + 1, CLAIMED + 120) == 0


def test_what_comes_from_the_future_always_counts():
    """It cannot have been there before, whoever waited for whom."""
    for offset in (99, 100):
        assert clocks().difference(offset, CLAIMED + 71, CLAIMED + 1) == -70


def test_the_newest_end_that_was_seen_is_the_one_that_counts():
    """An idle worker sees it again and again."""
    here = clocks()
    here.note_end(150, CLAIMED + 500)
    assert here.difference(149, CLAIMED, CLAIMED + 501) == 0
    assert here.difference(150, CLAIMED + 430, CLAIMED + 501) == 70


def test_an_end_before_the_one_at_the_claim_is_none():
    """The client knows of no records yet, and those that are there have waited."""
    here = clocks()
    here.note_end(20, CLAIMED + 1)
    assert here.difference(20, CLAIMED - 70, CLAIMED + 2) == 0
