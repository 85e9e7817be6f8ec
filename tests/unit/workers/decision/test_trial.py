"""Another policy's decisions about what was asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import Decision, Policy
from oracle.seals import Row
from tests.harness.decided import POLICIES, POLICY, STEPS, decided, log_of
from workers.decision.trial import Figures, Trial


def rows_of(steps: Sequence[tuple[int, str, str]], policy: Policy) -> list[Row]:
    """What the audit has of accounts."""
    batches = decided(log_of(steps, policy))
    return [row for batch in batches for row in batch.rows if row.kind != "policy"]


def attempts_of(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """The same as it is read for a trial."""
    return [
        (
            *(row.user, row.ms, row.right, row.device, row.guess, row.kind == "unblock"),
            row.until_ms if row.kind == "block" else None,
        )
        for row in rows
        if row.kind in ("attempt", "unblock", "block")
        or (row.kind in ("registered", "password") and row.decision != Decision.BLOCKED)
    ]


@given(STEPS, POLICIES, st.integers(1, 20))
def test_the_policy_in_force_would_have_decided_what_it_did(
    steps: list[tuple[int, str, str]], policy: Policy, size: int
) -> None:
    """In however many pieces the attempts are read, and whatever operators blocked by hand."""
    rows = rows_of(steps, policy)
    trial, attempts = Trial(policy), attempts_of(rows)
    for start in range(0, len(attempts), size):
        trial.take(attempts[start : start + size])
    blocked = [row.right for row in rows if row.kind == "attempt" and row.decision == 2]
    assert trial.figures == Figures(
        sum(row.change > 0 and row.kind == "attempt" for row in rows),
        blocked.count(True),
        blocked.count(False),
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


@pytest.mark.parametrize("policy", [Policy(1, 3), Policy(1, 100, repeated_guesses="ignore")])
def test_a_block_by_hand_holds_under_every_policy(policy: Policy) -> None:
    """For as long as it did, also for a device; it is no block of the policy's."""
    rows = rows_of(
        [
            *[(1, "wrong", "anna")] * 2,
            *[(1, "block 300", "anna"), (1, "right", "anna"), (1, "wrong", "anna on 1")],
            *[(1, "password", "anna"), (1, "right", "anna")],  # an operator did not ask for it
            *[(300, "wrong", "anna"), (1, "right", "anna")],
            *[(1, "block", "anna"), (9_000, "right", "anna"), (1, "unblock", "anna")],
            *[(1, "right", "anna"), (1, "disabled", "anna"), (1, "right", "anna")],
        ],
        POLICY,
    )
    trial = Trial(policy)
    trial.take(attempts_of(rows))
    assert trial.figures == Figures(0, 3, 1)


def test_a_block_by_hand_ends_when_it_did() -> None:
    """It made a block longer that stood; by a policy that has none it ends at the same time."""
    steps = [*[(1, "wrong", "anna")] * 3, (1, "block 9", "anna"), (480, "right", "anna")]
    rows = rows_of([*steps, (100, "right", "anna")], POLICY)
    assert [row.decision for row in rows][-2:] == [Decision.BLOCKED, Decision.ACCEPTED]
    for policy, figures in ((POLICY, Figures(1, 1)), (Policy(1, 9), Figures(0, 1))):
        trial = Trial(policy)
        trial.take(attempts_of(rows))
        assert trial.figures == figures


@given(STEPS, POLICIES, st.integers(1, 20))
def test_to_forget_changes_no_figure(
    steps: list[tuple[int, str, str]], policy: Policy, size: int
) -> None:
    """Only memory: what is dropped counted for nothing any more."""
    attempts = attempts_of(rows_of(steps, policy))
    whole, forgetful = Trial(policy), Trial(policy)
    whole.take(attempts)
    latest = 0
    for start in range(0, len(attempts), size):
        forgetful.take(attempts[start : start + size])
        latest = max([latest, *(int(str(one[1])) for one in attempts[start : start + size])])
        forgetful.forget(latest)
    assert forgetful.figures == whole.figures
    assert len(forgetful) <= len(whole)


def test_what_is_old_enough_is_forgotten() -> None:
    """And nothing before, nor while the account is blocked."""
    policy = Policy(1, threshold=2, block_ms=5_000, forget_ms=1_000, final_failures=0)
    trial = Trial(policy)
    trial.take([("ana", 10, False, None, None, False, None)])
    trial.take(
        [("ben", 10, False, None, None, False, None), ("ben", 11, False, None, None, False, None)]
    )
    trial.forget(1_009)
    assert len(trial) == 2
    trial.forget(1_011)
    assert len(trial) == 1
    trial.forget(5_011)
    assert len(trial) == 0
