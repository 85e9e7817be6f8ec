"""Every order of two owners' steps, with every crash, for logs of a few records.

``CERROJO_SIMULATION_SCHEDULES`` lets the larger scenarios run too, each with that many
executed schedules (0: all of them, which takes hours).
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation.explore import explore
from tests.simulation.owners import quiet_worker
from tests.simulation.schedule import (
    At,
    Faults,
    Scenario,
    deleted,
    first_policy,
    layout,
    right,
    unblock,
    wrong,
)

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
    "a device while strangers have the account blocked": Scenario(
        [wrong(3), wrong(4, device=1), right(5, device=1)],
        before=(*BEFORE, wrong(2)),
        owners=1,
        faults=Faults(crash=1),
    ),
    "a device that is used up": Scenario(
        [wrong(3, device=1), right(4, device=1), unblock(5)],
        before=(*BEFORE, wrong(2, device=1)),
        owners=1,
        faults=Faults(crash=1),
    ),
    "a deletion": Scenario([right(2), deleted(3)], before=BEFORE, owners=1, faults=Faults(crash=1)),
    "a deletion of what was blocked": Scenario(
        [unblock(3), deleted(4)], before=(*BEFORE, wrong(2)), owners=1, faults=Faults(crash=1)
    ),
}

BOTH = (first_policy(), At(1, first_policy()), wrong(1, "eve", 1))
"""Of two partitions, of which the first one is in use."""

SMALL |= {
    "a resize": Scenario(
        [At(1, layout(4, 2)), wrong(2, "ana", 1), layout(3, 2)],
        before=BOTH,
        partitions=2,
        owners=1,
        ready=True,
        new_worker=quiet_worker,
        faults=Faults(crash=1),
    ),
    "a resize and a repetition": Scenario(
        [At(1, layout(4, 2)), wrong(2, "ana", 1), layout(3, 2), wrong(2, "ana", 2)],
        before=BOTH,
        partitions=2,
        owners=1,
        ready=True,
        new_worker=quiet_worker,
    ),
    "a resize and a wait for the other partition": Scenario(
        [wrong(2, "dan", 1), layout(3, 2), At(1, layout(4, 2)), At(1, wrong(5, "dan", 2))],
        before=BOTH,
        partitions=2,
        owners=1,
        ready=True,
        new_worker=quiet_worker,
    ),
    "a resize that is proposed": Scenario(
        [wrong(2, "ana", 1)], before=BOTH, partitions=2, wanted=2, owners=1, ready=True
    ),
    "a repetition in another batch": Scenario(
        [wrong(2), wrong(3, "bob"), wrong(2)],
        before=(first_policy(),),
        owners=1,
        faults=Faults(crash=1),
    ),
    "a repetition of what has moved": Scenario(
        [layout(2, 1), wrong(3), wrong(3, "ana", 1)],
        before=(first_policy(),),
        owners=1,
        faults=Faults(crash=1),
    ),
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
    assert explored.schedules >= explored.runs > 1


if SCHEDULES is not None:
    LIMIT = int(SCHEDULES) or None

    @pytest.mark.parametrize("name", LARGE)
    def test_larger_ones_end_well(name: str, record_property: RecordProperty) -> None:
        """The same with more records, owners and faults, as far as the limit allows."""
        explored = explore(LARGE[name], LIMIT)
        record_property("said", f"{name}: {explored}")
