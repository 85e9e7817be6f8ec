"""Every order of two owners' steps, with every crash, for logs of a few records.

``CERROJO_SIMULATION_SCHEDULES`` lets the larger scenarios run too, each with that many
executed schedules (0: all of them, which takes hours).
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation.explore import explore
from tests.simulation.schedule import Faults, Scenario, first_policy, right, unblock, wrong

RecordProperty = Callable[[str, object], None]

BEFORE = (first_policy(), wrong(1))

SMALL = {
    "three records": Scenario([wrong(2), unblock(3), wrong(4)], before=BEFORE),
    "an empty database": Scenario([wrong(1)]),
    "a crash": Scenario([wrong(2), unblock(3)], before=BEFORE, faults=Faults(crash=1)),
    "an attempt that is written twice": Scenario(
        [wrong(2), wrong(2)], before=BEFORE, owners=1, faults=Faults(crash=1, lost=1)
    ),
    "an unknown outcome": Scenario([wrong(2)], before=BEFORE, faults=Faults(lost=1)),
    "the database goes back": Scenario(
        [wrong(2)], before=BEFORE, owners=1, faults=Faults(back=1, crash=1)
    ),
    "the log loses its tail": Scenario(
        [wrong(2)], before=BEFORE, owners=1, faults=Faults(tail=1, crash=1)
    ),
    "the log is made anew": Scenario(
        [wrong(2)], before=BEFORE, later=[wrong(3)], owners=1, faults=Faults(anew=1, crash=1)
    ),
    "a death with unsaid verdicts": Scenario(
        [], before=BEFORE, unsaid=[wrong(2)], owners=1, faults=Faults(crash=1, tail=1)
    ),
    "late acknowledgements": Scenario(
        [wrong(2), wrong(3)], before=BEFORE, owners=1, partial=True, faults=Faults(crash=1)
    ),
    "the database goes back after a death": Scenario(
        [], before=BEFORE, unsaid=[wrong(2)], owners=1, faults=Faults(back=1)
    ),
    "the log loses its start": Scenario([wrong(2)], before=BEFORE, faults=Faults(start=1)),
}

LARGE = {
    "four records and a crash": Scenario(
        [wrong(2), right(3), unblock(4), wrong(5)], before=BEFORE, faults=Faults(crash=1)
    ),
    "three owners": Scenario([wrong(2), unblock(3)], before=BEFORE, owners=3),
    "two crashes": Scenario([wrong(2), unblock(3)], before=BEFORE, faults=Faults(crash=2)),
    "unknown outcomes and a crash": Scenario(
        [wrong(2), unblock(3)], before=BEFORE, faults=Faults(crash=1, lost=2)
    ),
    "an empty database and a crash": Scenario([wrong(1), wrong(2)], faults=Faults(crash=1)),
    "the database goes back under two": Scenario(
        [wrong(2)], before=BEFORE, faults=Faults(back=1, crash=1)
    ),
    "the log loses its tail under two": Scenario(
        [wrong(2)], before=BEFORE, later=[wrong(3)], faults=Faults(tail=1, crash=2)
    ),
    "the log is made anew under two": Scenario(
        [wrong(2)], before=BEFORE, later=[wrong(3)], faults=Faults(anew=1, crash=1)
    ),
}

SCHEDULES = os.environ.get("CERROJO_SIMULATION_SCHEDULES")


@pytest.mark.parametrize("name", SMALL)
def test_every_schedule_ends_well(name: str, record_property: RecordProperty) -> None:
    """Exactly once, one writer, no verdict lost or contradicted, and every view right."""
    explored = explore(SMALL[name])
    record_property("said", f"{name}: all of {explored}")
    assert explored.schedules > explored.runs


if SCHEDULES is not None:
    LIMIT = int(SCHEDULES) or None

    @pytest.mark.parametrize("name", LARGE)
    def test_larger_ones_end_well(name: str, record_property: RecordProperty) -> None:
        """The same with more records, owners and faults, as far as the limit allows."""
        explored = explore(LARGE[name], LIMIT)
        record_property("said", f"{name}: {explored}")
