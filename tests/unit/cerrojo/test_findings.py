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
    began, ended = 1_800_000_000.0, 1_800_000_007.0
    found = by_difference(
        "clock", "Postgres", (ended if seconds > 0 else began) + seconds, began, ended
    )
    assert found.state == state
    assert f"{abs(seconds):.1f} s apart" in found.sentence
    assert ("time server" in found.sentence) == (state != State.OK)


def test_an_answer_that_took_long_is_no_wrong_clock() -> None:
    """A busy machine takes seconds from what the other one showed to its own look."""
    found = by_difference("clock", "The broker", 1_800_000_001.0, 1_800_000_000.0, 1_800_000_009.0)
    assert (found.state, "0.0 s apart" in found.sentence) == (State.OK, True)
