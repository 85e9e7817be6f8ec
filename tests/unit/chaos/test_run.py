"""What a run of chaos makes of what was verified."""

from __future__ import annotations

import pytest

from oracle.judge import Place
from oracle.verify import Difference, Report
from tests.chaos.run import doubts

GONE = Difference(Place(1, 2, 3), 0, "it is gone")


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report(batches=9, signed=True), []),
        (Report(batches=9, signed=True, differences=[GONE]), [str(GONE)]),
        (Report(signed=True), ["no batch has a seal"]),
        (Report(batches=9, signed=True, unsealed=4), ["4 rows have no seal"]),
        (Report(batches=9), ["a seal has no signature"]),
    ],
)
def test_an_audit_without_seals_is_no_proof(report: Report, says: list[str]):
    """Although nothing in it differs from anything."""
    assert doubts(report) == says
