"""A worker that is broken on purpose does not get through: each way is found by some schedule."""

from __future__ import annotations

import pytest

from tests.simulation.explore import FailedError, explore
from tests.simulation.mutants import MUTANTS
from tests.simulation.test_interleavings import SMALL

WHERE = {
    "publishes before it commits": "three records",
    "commits before the last verdicts are acknowledged": "late acknowledgements",
    "moves before the last verdicts are acknowledged": "a death with unsaid verdicts",
    "says nothing again at a claim": "a crash",
    "commits without a look at the epoch": "three records",
    "claims in two statements": "an unknown outcome",
    "says again what the claim's snapshot had": "a crash",
    "does not notice a new connection": "the database goes back after a death",
    "publishes what it could not commit": "three records",
    "claims again when it is fenced": "three records",
    "says that it has published what it has not": "a crash",
    "does not raise the generation": "the log loses its tail",
    "does not look at the log when it claims": "the log is made anew",
    "skips a record": "three records",
    "decides out of order": "three records",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_worker_is_found(name: str) -> None:
    """By a schedule that does not end as it must."""
    with pytest.raises(FailedError):
        explore(SMALL[WHERE[name]]._replace(new_worker=MUTANTS[name]))
