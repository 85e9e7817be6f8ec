"""Times as text."""

from __future__ import annotations

from gateway.timestamps import iso


def test_times_are_in_utc_to_the_millisecond() -> None:
    """Also those that no clock of today shows."""
    assert iso(1_795_492_589_007) == "2026-11-24T03:56:29.007Z"
