"""Which deaths a supervisor excuses, and what the next owner decides alone."""

from __future__ import annotations

import pytest

from workers.partition.poison_records import Deaths, isolation_end
from workers.partition.store import Progress

BEGINS, ENDS, DIED = "begins", "ends", "died"


@pytest.mark.parametrize(
    ("events", "excused"),
    [
        ([], False),
        ([DIED], True),
        ([BEGINS, ENDS, DIED], True),
        ([BEGINS, DIED], False),
        ([BEGINS, ENDS, BEGINS, DIED], False),
        ([BEGINS, DIED, DIED], True),
        ([DIED, BEGINS, DIED], False),
    ],
)
def test_only_who_died_of_no_record_is_excused(events: list[str], excused: bool):
    """A worker that was computing may have died of it; of an unknown one nobody can say."""
    deaths = Deaths()
    for event in events:
        if event == DIED:
            deaths.died(1)
        else:
            deaths.computing(1, event == BEGINS)
    assert deaths.record_not_to_blame(1) == excused
    assert not deaths.record_not_to_blame(2)


def test_a_partition_that_was_elsewhere_meanwhile_has_no_excuse():
    """Its last owner may have died out of sight."""
    deaths = Deaths()
    deaths.died(1)
    deaths.forget(1)
    assert not deaths.record_not_to_blame(1)
    deaths.computing(1, True)
    deaths.forget(1)
    deaths.died(1)
    assert deaths.record_not_to_blame(1)


@pytest.mark.parametrize(
    ("suspect", "log_end", "end"), [(False, 1000, 100), (True, 1000, 150), (True, 107, 107)]
)
def test_suspects_are_what_the_dead_one_may_have_read(suspect: bool, log_end: int, end: int):
    """A batch from the stored offset on, as far as the log went; nothing after an orderly end."""
    progress = Progress(1, 1, None, 100, 90, None, None, None, suspect=suspect)
    assert isolation_end(progress, log_end, batch_size=50) == end
