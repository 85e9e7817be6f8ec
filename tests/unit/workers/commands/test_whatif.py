"""Other policies, over what was asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import Policy
from oracle.seals import Row
from tests.harness.decided import POLICIES, POLICY, STEPS, decided, log_of
from workers.commands.errors import CommandError
from workers.commands.whatif import Figures, Outcome, Trial, changed


def rows_of(steps: Sequence[tuple[int, str, str]], policy: Policy) -> list[Row]:
    """What the audit has of accounts."""
    batches = decided(log_of(steps, policy))
    return [row for batch in batches for row in batch.rows if row.kind != "policy"]


def attempts_of(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """The same as it is read for a trial."""
    return [
        (row.user, row.ms, row.right, row.device, row.guess, row.kind == "unblock") for row in rows
    ]


@given(STEPS, POLICIES, st.integers(1, 20))
def test_the_policy_in_force_would_have_decided_what_it_did(
    steps: list[tuple[int, str, str]], policy: Policy, size: int
) -> None:
    """In however many pieces the attempts are read."""
    # What an operator blocks by hand is of no policy.
    rows = rows_of([step for step in steps if not step[1].startswith("block")], policy)
    trial, attempts = Trial(policy), attempts_of(rows)
    for start in range(0, len(attempts), size):
        trial.take(attempts[start : start + size])
    blocked = [row.right for row in rows if row.kind == "attempt" and row.decision == 2]
    assert trial.figures == Figures(
        sum(row.change > 0 for row in rows), blocked.count(True), blocked.count(False)
    )


def test_another_policy_decides_otherwise() -> None:
    """Two wrong passwords, then the owner; by one policy the owner is behind a block."""
    steps = [(1, "wrong", "anna"), (1, "wrong", "anna"), (1, "right", "anna"), (1, "wrong", "anna")]
    attempts = attempts_of(rows_of(steps, Policy(1)))
    for threshold, figures in ((2, Figures(1, 1, 1)), (3, Figures()), (1, Figures(1, 1, 2))):
        trial = Trial(Policy(1, threshold))
        trial.take(attempts)
        assert trial.figures == figures


@pytest.mark.parametrize(
    ("help_", "figures"), [("unblock", Figures(1, 1)), ("password", Figures())]
)
def test_who_helps_lifts_what_it_lifted(help_: str, figures: Figures) -> None:
    """An operator leaves a device that is used up a stranger; a new password has new devices."""
    used_up = [(1, "wrong", "anna on 1")] * 3
    rows = rows_of([*used_up, (1, help_, "anna"), *used_up, (1, "right", "anna")], POLICY)
    trial = Trial(POLICY)
    trial.take(attempts_of(rows))
    assert trial.figures == figures


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
