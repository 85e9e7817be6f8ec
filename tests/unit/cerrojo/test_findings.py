"""What a difference of clocks means."""

from __future__ import annotations

import pytest

from cerrojo.findings import State, by_difference


@pytest.mark.parametrize(
    ("seconds", "state"),
    [
        *((0.0, State.OK), (-1.9, State.OK), (2.1, State.WARNING), (-59.0, State.WARNING)),
        *((61.0, State.FAILED), (-3600.0, State.FAILED)),
    ],
)
def test_clocks_that_differ_are_said_to(seconds: float, state: State) -> None:
    """In either direction, with what to do."""
    found = by_difference("clock", "Postgres", seconds)
    assert found.state == state
    assert f"{abs(seconds):.1f} s apart" in found.sentence
    assert ("time server" in found.sentence) == (state != State.OK)
