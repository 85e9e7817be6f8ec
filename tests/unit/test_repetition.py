"""What counts as a repetition is a question about the log, and not about who reads it, or how."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import Attempt, Decision, encode
from workers import repetition
from workers.batch import AuditRow, Record, decide, decode
from workers.repetition import Recent

REACH = 5


@pytest.fixture(autouse=True, scope="module")
def _short_reach():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repetition, "REACH", REACH)
        yield


def id_of(number: int) -> bytes:
    """One of a few ids."""
    return number.to_bytes(16, "big")


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=8),
)
def test_every_owner_decides_alike(log: list[int], batches: list[tuple[int, bool]]):
    """However the log is cut into batches, and whoever has to ask the audit for what was before."""
    records = [
        Record(offset, offset, None, encode(Attempt(id_of(number), 0, "ana", True)))
        for offset, number in enumerate(log)
    ]
    audit: list[AuditRow] = []
    recent, turn = Recent({}), 0
    while len(audit) < len(records):
        size, is_new = batches[turn % len(batches)]
        at, turn = len(audit), turn + 1
        if is_new:  # as a claim finds it
            recent = Recent({row.id: row.offset for row in audit[max(0, at - REACH) :]})
        batch = decide(at, decode(records[at : at + size]), {}, None, 0, recent.has)
        recent.add((row.id, row.offset) for row in batch.audit)
        audit += batch.audit
    for offset, number in enumerate(log):
        repeated = number in log[max(0, offset - REACH) : offset]
        assert (audit[offset].decision == Decision.REPEATED) is repeated


def test_no_more_is_known_than_matters():
    """So that memory stays as it is."""
    recent = Recent({})
    for offset in range(100):
        recent.add([(id_of(offset), offset)])
    assert len(recent._offsets) == REACH + 1
