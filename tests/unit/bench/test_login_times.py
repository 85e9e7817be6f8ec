"""The test by which times are compared."""

from __future__ import annotations

import random

import pytest

from bench.login_times import CHANCE, compare


@pytest.mark.parametrize("seed", range(5))
def test_times_of_one_kind_are_not_told_apart(seed: int) -> None:
    """But once in a hundred."""
    source = random.Random(seed)
    one, other = ([source.random() for _ in range(500)] for _ in range(2))
    share, chance = compare(one, other)
    assert abs(share - 0.5) < 0.06
    assert chance > CHANCE


@pytest.mark.parametrize("seed", range(5))
def test_times_of_two_kinds_are_told_apart(seed: int) -> None:
    """Also where only some of them differ, whichever is longer."""
    source = random.Random(seed)
    one = [source.random() for _ in range(500)]
    other = [source.random() + (number % 5 == 0) for number in range(500)]
    for pair, longer in (((other, one), 1), ((one, other), -1)):
        share, chance = compare(*pair)
        assert (share - 0.5) * longer > 0.05
        assert chance < CHANCE
