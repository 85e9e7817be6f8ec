"""The judge agrees with the workers about any log, and with nobody who changed a decision."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import FOREVER, Decision, Policy
from oracle.judge import Judge, Place
from tests.harness.decided import POLICIES, POLICY, STEPS, Decided, decided, log_of, policy_of

BLOCKED_ONCE = [
    *((1, "wrong", "anna"), (1, "wrong", "anna"), (1, "wrong", "anna"), (1, "right", "anna")),
    *((600, "right", "anna"), (1, "wrong", "ben"), (1, "wrong", "ben"), (1, "wrong", "ben")),
    *((1, "unblock", "ben"), (1, "right", "ben"), (1, "wrong", "anna")),
]


def judged(batches: Sequence[Decided], whole: bool = True) -> tuple[Judge, list[str]]:
    """What is said about these batches."""
    judge, said = Judge(whole, {}), []
    for seal, rows in batches:
        said.append(judge.begin_batch(0, seal.policies, rows))
        said += [judge.take(Place(1, 0, row.offset), row, seal.policies) for row in rows]
    return judge, [sentence for sentence in said if sentence]


@given(STEPS, POLICIES, st.integers(1, 9))
def test_it_agrees_with_the_workers_about_any_log(
    steps: list[tuple[int, str, str]], policy: Policy, size: int
) -> None:
    """Two implementations of one policy; and every row is judged where all is known."""
    judge, said = judged(decided(log_of(steps, policy), size))
    assert said == []
    assert judge.found["judged"] == len(steps) + 1


@given(STEPS, POLICIES, st.integers(0, 40))
def test_it_accuses_nobody_of_what_came_before_its_time(
    steps: list[tuple[int, str, str]], policy: Policy, missing: int
) -> None:
    """A range that begins anywhere has accounts of which nobody knows what stands against them."""
    _, said = judged(decided(log_of(steps, policy), 1)[missing:], whole=False)
    assert said == []


@given(STEPS, POLICIES, st.data())
def test_no_decision_can_be_another_one(
    steps: list[tuple[int, str, str]], policy: Policy, data: st.DataObject
) -> None:
    """Nor can the end of a block, or what the decision did. An operator may choose any end."""
    batches = decided(log_of(steps, policy), 1)
    index = data.draw(st.integers(0, len(batches) - 1))
    [row] = batches[index].rows
    changed = data.draw(
        st.sampled_from(
            [
                row._replace(decision=(row.decision + 1) % 3),
                row._replace(until_ms=row.until_ms + 1),
                row._replace(change=row.change + 1),
                row._replace(policy_version=7),
            ]
        )
    )
    if row.kind == "policy" and changed[:-1] == (*row[:6], *changed[6:-1]):
        changed = row._replace(policy_version=7)
    if row.kind == "block" and changed.until_ms != row.until_ms:
        changed = row._replace(change=0)
    batches[index] = batches[index]._replace(rows=[changed])
    _, said = judged(batches)
    assert said


def test_it_counts_blocks_and_what_ended_them() -> None:
    """One ended by its time, one by an operator."""
    judge, said = judged(decided(log_of(BLOCKED_ONCE)))
    assert said == []
    assert {name: judge.found[name] for name in ("blocks", "unblocks", "expiries")} == {
        "blocks": 2,
        "unblocks": 1,
        "expiries": 1,
    }


def test_a_block_that_it_saw_begin_has_to_end() -> None:
    """Also where it does not know the account."""
    batches = decided(log_of(BLOCKED_ONCE), 1)[3:]
    [blocks], [refused], [after] = (batches[n].rows for n in range(3))
    assert (blocks.change, refused.decision, after.decision) == (1, Decision.BLOCKED, 0)
    for index, row in ((1, refused._replace(decision=0)), (2, after._replace(decision=2))):
        changed = list(batches)
        changed[index] = changed[index]._replace(rows=[row])
        _, said = judged(changed, whole=False)
        assert len(said) == 1
        assert "the block before it ends" in said[0]


def test_one_changed_row_is_one_difference() -> None:
    """What follows is judged by what is right."""
    batches = decided(log_of(BLOCKED_ONCE * 4), 1)
    [row] = batches[3].rows
    batches[3] = batches[3]._replace(rows=[row._replace(until_ms=FOREVER)])
    assert len(judged(batches)[1]) == 1


USED_UP = [(1, "wrong", "anna on 1")] * 3
FORGETTING = Policy(1, 2, 10_000, 500, 1_500, 0, 3_000, "count", 800)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("policy", "before", "then"),
    [
        # A device that was used up before is a stranger, and blocks the account, ...
        (
            *(POLICY, [*USED_UP, (600, "wrong", "ben")]),
            [(1, "right", "anna"), *USED_UP, (1, "right", "anna")],
        ),
        # ... or gets in as one, which clears the account.
        (
            *(POLICY, [*USED_UP, (600, "wrong", "ben")]),
            [(1, "right", "anna"), (1, "wrong", "anna"), (1, "right", "anna on 1")]
            + [(1, "wrong", "anna")] * 2,
        ),
        # ... or, where the account was blocked before, with another block, ...
        (
            *(POLICY, [*USED_UP, (600, "wrong", "ben")]),
            [(1, "wrong", "anna")] * 3
            + [(600, "wrong", "anna on 1"), *USED_UP[1:], (1, "right", "anna")],
        ),
        # ... or as one for whom the block is over, also when a clock goes back.
        (
            *(POLICY, [*USED_UP, (600, "wrong", "ben")]),
            [(1, "wrong", "anna")] * 3 + [(600, "right", "anna on 1"), (-300, "wrong", "anna")],
        ),
        # A device's wrong password holds the account's time when a clock goes back: of a block, ...
        (
            *(POLICY, [(1, "wrong", "ben")]),
            [(1, "wrong", "anna")] * 3 + [(600, "wrong", "anna on 1"), (-200, "wrong", "anna")],
        ),
        # ... and of what strangers do after a success.
        (
            *(POLICY, [(1, "wrong", "ben")]),
            [(1, "right", "anna"), (600, "wrong", "anna on 1"), (1, "right", "anna")]
            + [(-300, "wrong", "anna")] * 3,
        ),
        # Where a device was wrong, too, strangers' wrong passwords count for longer.
        (
            *(FORGETTING, [(1, "wrong", "anna on 1")]),
            [(1, "right", "anna"), (1, "wrong", "anna"), (1_000, "wrong", "anna")],
        ),
    ],
)
def test_it_knows_that_it_does_not_know_devices(
    policy: Policy,
    before: list[tuple[int, str, str]],
    then: list[tuple[int, str, str]],
    whole: bool,
) -> None:
    """Which were wrong before the range; and if it begins before that, it does know them."""
    batches = decided(log_of([*before, *then], policy), 1)
    judge, said = judged(batches if whole else batches[len(before) + 1 :], whole)
    assert said == []
    assert bool(judge.found["unjudged"]) != whole


def test_a_policy_is_in_force_from_its_row_on() -> None:
    """Two in one batch are two; and one that no seal has is nobody's."""
    steps = [
        *((1, "wrong", "anna"), (1, "policy 4", ""), (1, "wrong", "ben"), (1, "policy 6", "")),
        *((1, "wrong", "ben"), (1, "policy 5", ""), (1, "wrong", "ben"), (1, "wrong", "ben")),
    ]
    batches = decided(log_of(steps), 20)
    assert judged(batches)[1] == []
    [batch] = batches
    assert [policy["version"] for policy in batch.seal.policies] == [1, 4, 6]
    assert batch.seal.policies[1]["threshold"] == policy_of(4).threshold
    without = batch._replace(seal=batch.seal._replace(policy_fields=batch.seal.policy_fields[:2]))
    assert "has no such policy" in judged([without])[1][0]


def test_a_policy_that_changed_without_a_row_is_noticed() -> None:
    """By the policy that the next batch says it began with."""
    batches = decided(log_of([(1, "wrong", "anna"), (1, "wrong", "anna")]), 1)
    seal = batches[2].seal
    version, _, *others = seal.policy_fields[0]
    batches[2] = batches[2]._replace(seal=seal._replace(policy_fields=[[version, 50, *others]]))
    assert "is in force" in judged(batches)[1][0]


@pytest.mark.parametrize("decision", [Decision.REPEATED, Decision.MOVED, Decision.LATE])
def test_what_was_not_decided_changes_nothing(decision: Decision) -> None:
    """It cannot be told from the audit why not, but for a repetition and a wrong password."""
    batches = decided(log_of([(1, "wrong", "anna"), (1, "wrong", "anna"), (1, "right", "anna")]), 1)
    [row] = batches[2].rows
    batches[2] = batches[2]._replace(rows=[row._replace(decision=int(decision))])
    said = judged(batches)[1]
    assert bool(said) == (decision != Decision.MOVED)
