"""A plan of chaos can be repeated, and leaves no fault out."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.plan import luck_of, plan

SHARES = {name: kind.share for name, kind in KINDS.items()}


@pytest.mark.parametrize("count", [len(SHARES), 40, 218, 1000])
def test_every_fault_has_its_share(count: int):
    """At least one of each, and a hundred kills of workers in a full run."""
    counts = Counter(plan(1, count, SHARES))
    assert sum(counts.values()) == count
    assert set(counts) == set(SHARES)
    if count >= 218:
        assert counts["worker"] + counts["worker-in-commit"] >= 100


def test_a_seed_repeats_a_plan():
    """The order, and what each fault chooses."""
    assert plan(7, 100, SHARES) == plan(7, 100, SHARES) != plan(8, 100, SHARES)
    assert luck_of(7, 3).random() == luck_of(7, 3).random() != luck_of(7, 4).random()
