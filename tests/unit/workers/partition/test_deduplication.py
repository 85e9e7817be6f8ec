"""A repetition is a matter of the log alone, and not of its reader, or of the way of reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import Attempt, Decision, encode
from workers.decision.batch import AuditRow, Record, decide, decode
from workers.partition import deduplication
from workers.partition.deduplication import RecentIds, Seen

REACH = 5
REACH_MS = 20


@pytest.fixture(autouse=True, scope="module")
def _short_reach():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deduplication, "DEDUPLICATION_OFFSETS", REACH)
        patch.setattr(deduplication, "DEDUPLICATION_MS", REACH_MS)
        yield


def id_of(number: int) -> bytes:
    """One of a few ids."""
    return number.to_bytes(16, "big")


def decided(id_: bytes, offset: int, appended_ms: int) -> AuditRow:
    """An accepted attempt."""
    return AuditRow(
        *(appended_ms, offset, id_, "attempt", "ana", True, Decision.ACCEPTED, 0, 0, 1, 0)
    )


class Owner:
    """Decides records by what it has seen, or by what the audit has."""

    def __init__(self) -> None:
        self.audit: list[tuple[int, AuditRow]] = []
        self.generation, self.recent = 1, RecentIds(1, 0)

    def claim(self, offset: int) -> None:
        """A new owner knows what the audit has within reach."""
        latest = max((row.appended_ms for _, row in self.audit), default=0)
        self.recent = RecentIds(
            self.generation,
            latest,
            [
                Seen(row.id, generation, row.offset, row.appended_ms)
                for generation, row in self.audit
                if (generation == self.generation and row.offset >= offset - REACH)
                or row.appended_ms >= latest - REACH_MS
            ],
        )

    def decide(self, records: list[Record]) -> None:
        """One batch."""
        batch = decide(records[0].offset, decode(records), {}, None, 0, self.recent.is_repeated)
        self.recent.add(batch.audit)
        self.audit += [(self.generation, row) for row in batch.audit]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(-30, 12)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(" cg")), min_size=1, max_size=8),
)
def test_every_owner_decides_alike(
    log: list[tuple[int, int]], batches: list[tuple[int, str]]
) -> None:
    """However the log is cut into batches, and whichever owner asks the audit for the rest.

    Times go back and forth; a generation may begin between any two batches.
    """
    now, records = 1_000, []
    for offset, (number, later) in enumerate(log):
        now += later
        message = encode(Attempt(id_of(number), 0, "ana", True))
        records.append(Record(offset, now, None, message))
    owner, turn = Owner(), 0
    while len(owner.audit) < len(records):
        size, what = batches[turn % len(batches)]
        at, turn = len(owner.audit), turn + 1
        if what == "g":
            owner.generation += 1
            owner.recent.enter_generation()
        elif what == "c":
            owner.claim(at)
        owner.decide(records[at : at + size])
    latest = 0
    for index, (generation, row) in enumerate(owner.audit):
        latest = max(latest, row.appended_ms)
        repeated = any(
            before.id == row.id
            and (
                (g == generation and before.offset >= row.offset - REACH)
                or before.appended_ms >= latest - REACH_MS
            )
            for g, before in owner.audit[:index]
        )
        assert (row.decision == Decision.REPEATED) is repeated


def test_a_repetition_is_known_across_a_generation_and_at_any_rate() -> None:
    """A layout's generation, and more records than offsets are kept, both within the time."""
    recent = RecentIds(1, 0)
    recent.add([decided(id_of(n), n, 1_000) for n in range(3 * REACH)])
    assert recent.is_repeated(id_of(0), 3 * REACH, 1_000)
    recent.enter_generation()
    assert recent.is_repeated(id_of(0), 0, 1_000 + REACH_MS)
    assert not recent.is_repeated(id_of(0), 0, 1_001 + REACH_MS)


def test_no_more_is_known_than_matters() -> None:
    """So that memory stays as it is, also behind a clock that was ahead for a while."""
    recent = RecentIds(1, 0)
    recent.add([decided(id_of(1_000), 0, 10**9)])
    for offset in range(1, 100):
        recent.add([decided(id_of(offset), offset, 1_000 + offset)])
    assert len(recent._by_id) <= REACH + 2
