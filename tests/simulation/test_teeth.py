"""A worker that is broken on purpose does not get through: each way is found by some schedule.

Others are found in `test_restores`.
"""

from __future__ import annotations

import pytest

from tests.simulation.explore import FailedError, explore
from tests.simulation.mutants import MUTANTS
from tests.simulation.test_interleavings import SMALL

WHERE = {
    "publishes before it commits": "three records",
    "commits before the last verdicts are acknowledged": "late acknowledgements",
    "moves before what it has said is acknowledged": "a death with unsaid verdicts",
    "says nothing again at a claim": "a crash",
    "commits without a look at the epoch": "three records",
    "claims in two statements": "an unknown outcome",
    "says again what the claim's snapshot had": "a crash",
    "publishes what it could not commit": "three records",
    "claims again when it is fenced": "three records",
    "says that it has published what it has not": "a crash",
    "does not raise the generation": "the log loses its tail",
    "does not look at the log when it claims": "the log is made anew",
    "skips a record": "three records",
    "enters a layout without waiting for what is unsaid": "a resize",
    "looks repeated ids up in the last batch only": "a repetition in another batch",
    "forgets the ids when it enters a layout": "a resize and a repetition",
    "deletes a name behind what is not published": "a deletion",
    "decides out of order": "three records",
}


@pytest.mark.parametrize("name", WHERE)
def test_a_broken_worker_is_found(name: str) -> None:
    """By a schedule that does not end as it must."""
    with pytest.raises(FailedError):
        explore(SMALL[WHERE[name]]._replace(new_worker=MUTANTS[name]))
