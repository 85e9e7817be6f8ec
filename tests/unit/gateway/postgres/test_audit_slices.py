"""Decisions of all accounts come from slices of time, each longer than the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import LateAnswerError, UnavailableError
from gateway.postgres import audit_slices
from gateway.postgres.operator_queries import DecisionPlace, DecisionRow, WantedDecisions

HOUR_MS = 3_600_000
NOW_MS = 1_795_858_200_125
ALL = WantedDecisions(None, None, None, 0, 2**62)


def decision(ms: int) -> DecisionRow:
    """One of this moment."""
    return DecisionRow(
        *(ms, 0, 1, ms, "attempt", "ana", False, 1, 1, None, None, b"1" * 16, 0, None, None, None)
    )


class Audit:
    """Answers as Postgres would, and notes from when to when it was asked."""

    def __init__(self, times: Sequence[int], late: int | None = None) -> None:
        """It is late with this look."""
        self.rows = [decision(ms) for ms in times]
        self.looks: list[tuple[int, int]] = []
        self._late = late

    async def run(self, query: Any, seconds: float) -> Any:
        """What the query would give."""
        return await query(self)

    def select(
        self,
        wanted: WantedDecisions,
        after: DecisionPlace | None,
        limit: int,
        oldest_first: bool = False,
    ) -> list[DecisionRow]:
        """The rows of these bounds."""
        self.looks.append((wanted.from_ms, wanted.to_ms))
        if len(self.looks) - 1 == self._late:
            raise LateAnswerError("late")
        found = [row for row in self.rows if wanted.from_ms <= row.appended_ms < wanted.to_ms]
        found.sort(key=lambda row: row.place, reverse=not oldest_first)
        if after is not None:
            found = [r for r in found if (r.place > after if oldest_first else r.place < after)]
        return found[:limit]


@pytest.fixture(autouse=True)
def asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No SQL."""

    async def select(audit: Audit, *asked: Any, **further: Any) -> list[DecisionRow]:
        return audit.select(*asked, **further)

    monkeypatch.setattr(audit_slices, "select_decision_rows", select)


def page(
    audit: Audit, wanted: WantedDecisions = ALL, after: DecisionPlace | None = None
) -> tuple[list[int], DecisionPlace | None]:
    """Two decisions' times, and where it goes on."""
    rows, end = asyncio.run(audit_slices.newest_first(audit, wanted, after, 2, 5.0, NOW_MS))
    return [row.appended_ms for row in rows], end


def test_the_newest_of_a_long_audit_cost_a_look_at_a_second() -> None:
    """However much there is before."""
    audit = Audit(range(NOW_MS - HOUR_MS, NOW_MS, 100))
    times, end = page(audit)
    assert times == [NOW_MS - 100, NOW_MS - 200]
    assert end == (NOW_MS - 200, 1, NOW_MS - 200, 0)
    assert audit.looks == [(NOW_MS - audit_slices.SLICE_MS, 2**62)]


def test_a_sparse_audit_is_looked_through_in_few_steps() -> None:
    """Back to 1970, as nobody said a time."""
    audit = Audit([NOW_MS - 90 * 24 * HOUR_MS])
    assert page(audit) == ([NOW_MS - 90 * 24 * HOUR_MS], None)
    assert len(audit.looks) < 25
    assert audit.looks[-1][0] == 0


@pytest.mark.parametrize("wanted", [{"user": "ana"}, {"operator": "Cleo"}, {"operator": ""}])
def test_one_account_takes_one_look_and_so_do_operators(wanted: dict[str, str]) -> None:
    """There are indexes."""
    audit = Audit([NOW_MS - HOUR_MS])
    assert page(audit, ALL._replace(**wanted)) == ([NOW_MS - HOUR_MS], None)
    assert audit.looks == [(0, 2**62)]


def test_a_look_that_is_late_ends_the_page() -> None:
    """The next one begins there."""
    audit = Audit([NOW_MS - 500, NOW_MS - HOUR_MS], late=1)
    times, end = page(audit)
    assert times == [NOW_MS - 500]
    assert end is not None
    assert page(Audit([NOW_MS - 500, NOW_MS - HOUR_MS]), after=end) == ([NOW_MS - HOUR_MS], None)


def test_a_first_look_that_is_late_is_an_error_with_a_way_out() -> None:
    """Nothing was found out, so the next try would be no better."""
    with pytest.raises(UnavailableError, match="shorter time by `from` and `to`"):
        page(Audit([], late=0))


def test_a_day_is_read_by_parts_of_about_the_same_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether much or little happened: a quiet night takes few looks, and each row comes once."""
    monkeypatch.setattr(audit_slices, "CHUNK", 50)
    busy = [12 * HOUR_MS + n for n in range(2_000)]
    audit = Audit([1, *busy, 23 * HOUR_MS])

    async def all_of_it() -> list[list[DecisionRow]]:
        wanted = ALL._replace(to_ms=24 * HOUR_MS)
        return [rows async for rows in audit_slices.oldest_first(audit, wanted, 5.0)]

    parts = asyncio.run(all_of_it())
    assert [row.appended_ms for rows in parts for row in rows] == [1, *busy, 23 * HOUR_MS]
    assert max(map(len, parts)) == 50
    assert len(audit.looks) < 100
