"""A plan of chaos can be repeated, and leaves no fault out."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.network.faults import NETWORK_KINDS
from tests.chaos.plan import luck_of, plan

FULL = 232  # faults of a run without settings
SHARES = {name: kind.share for name, kind in KINDS.items()}


@pytest.mark.parametrize("count", [len(SHARES), 40, FULL, 1000])
def test_every_fault_has_its_share(count: int):
    """At least one of each, and a hundred kills of workers in a full run."""
    counts = Counter(plan(1, count, SHARES))
    assert sum(counts.values()) == count
    assert set(counts) == set(SHARES)
    if count >= FULL:
        assert counts["worker"] + counts["worker-in-commit"] >= 100


def test_a_run_of_the_network_has_every_fault_of_it():
    """Cuts of each line are most of them."""
    counts = Counter(plan(1, 200, {name: kind.share for name, kind in NETWORK_KINDS.items()}))
    assert counts.keys() == NETWORK_KINDS.keys()
    assert sum(n for name, n in counts.items() if name.startswith(("cut-", "one-way-"))) >= 100


def test_a_seed_repeats_a_plan():
    """The order, and what each fault chooses."""
    assert plan(7, 100, SHARES) == plan(7, 100, SHARES) != plan(8, 100, SHARES)
    assert luck_of(7, 3).random() == luck_of(7, 3).random() != luck_of(7, 4).random()
