"""Other policies, over what was asked."""

from __future__ import annotations

import pytest

from events.messages import Policy
from workers.commands.errors import CommandError
from workers.commands.whatif import Outcome, changed
from workers.decision.trial import Figures


def test_a_policy_is_changed_by_its_parts() -> None:
    """In the units of a person."""
    text = "threshold=3,window=60,block=0,final=7,forget=2,forget-each=0.5,repeated=ignore"
    assert changed(Policy(4), text) == Policy(
        4, 3, 60_000, 0, Policy().block_max_ms, 7, 172_800_000, "ignore", 43_200_000
    )
    assert changed(Policy(4), "") == Policy(4)


@pytest.mark.parametrize(
    "text", ["treshold=3", "threshold", "threshold=many", "threshold=0", "repeated=no", "block=inf"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    """With what could not be read."""
    with pytest.raises(CommandError, match=text):
        changed(Policy(), text)


def test_the_outcome_is_a_table_and_a_plot() -> None:
    """Of the same figures."""
    outcome = Outcome(1_000, {"as it was": Figures(10, 2, 400), "threshold=3": Figures(20, 4, 0)})
    said = str(outcome).splitlines()
    assert said[0] == "1,000 attempts"
    assert said[2].split() == ["policy", "blocks", "owners", "refused", "guesses", "saved"]
    assert said[4].split() == ["as", "it", "was", "10", "2", "400"]
    bars = [line.count("█") for line in said[7:]]
    assert bars == [0, 20, 40, 0, 20, 40, 0, 40, 0]
