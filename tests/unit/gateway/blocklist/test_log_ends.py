"""A reader of a log knows which records may have escaped it."""

from __future__ import annotations

from gateway.blocklist.log_ends import MOST_ENDS, LogEnds

NEVER = float("-inf")


def read_from(offset: int) -> LogEnds:
    """Of a log that is read from this offset on."""
    ends = LogEnds()
    ends.restart(offset, 0.0)
    return ends


def test_an_end_that_is_reached_says_how_much_was_read() -> None:
    """It does not matter whether the record or the answer comes first."""
    ends = read_from(5)
    assert ends.read_up_to == NEVER
    ends.ended(5, 1.0)
    assert ends.read_up_to == 1.0
    ends.ended(7, 2.0)
    ends.read(5, 2.1)
    assert ends.read_up_to == 1.0
    ends.read(6, 2.2)
    assert ends.read_up_to == 2.0
    ends.read(7, 3.1)
    ends.ended(8, 3.0)
    assert ends.read_up_to == 3.0


def test_a_record_is_younger_than_the_ends_before_it() -> None:
    """Of those at or before it the last one counts, and once."""
    ends = read_from(5)
    ends.ended(5, 1.0)
    ends.ended(5, 2.0)
    ends.ended(6, 3.0)
    ends.ended(8, 4.0)
    assert ends.read(5, 5.0) == 2.0
    assert ends.read(7, 5.0) == 3.0
    assert ends.read(8, 5.0) == 4.0
    assert ends.read(9, 5.0) is None


def test_a_log_that_shrinks_is_another_one() -> None:
    """If it was asked after what was read."""
    ends = read_from(5)
    ends.ended(4, -1.0)
    ends.read(5, 2.0)
    ends.ended(5, 1.0)
    assert not ends.shrunk
    ends.ended(5, 3.0)
    assert ends.shrunk
    ends.restart(0, 4.0)
    assert not ends.shrunk
    assert ends.read_up_to == NEVER


def test_what_the_former_log_ended_at_is_not_waited_for() -> None:
    """An answer may have been on its way."""
    ends = read_from(0)
    ends.ended(900, 1.0)
    ends.ended(0, 2.0)
    assert ends.read_up_to == 2.0


def test_a_reader_who_stands_still_gathers_no_ends() -> None:
    """Not without a bound."""
    ends = read_from(0)
    for n in range(2 * MOST_ENDS):
        ends.ended(n + 1, float(n))
    assert len(ends._ends) == MOST_ENDS
    assert ends.read_up_to == NEVER
