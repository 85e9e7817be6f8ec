"""What a policy may be."""

from __future__ import annotations

import math

import pytest

from events.messages import Policy
from workers.commands.change_policy import InForce, check, in_ms
from workers.commands.errors import CommandUsageError


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"threshold": 0}, "--threshold must be from 1 to 100, and is 0."),
        ({"threshold": 101}, "--threshold must be from 1 to 100, and is 101."),
        ({"window_ms": 0}, "--window must be from 1 to 86400000 ms, and is 0."),
        ({"block_ms": 10**19}, "--block must be from 0 to 3153600000000 ms, and is 1"),
        ({"block_max_ms": 10**19}, "--block-max must be from 0 to 3153600000000 ms"),
        ({"final_failures": -1}, "--final must be from 0 to 1000000, and is -1."),
        ({"forget_ms": 36_501 * 86_400_000}, "--forget must be from 0 to 3153600000000 ms"),
    ],
)
def test_a_policy_that_could_not_be_kept_is_refused(changes: dict[str, int], sentence: str) -> None:
    """A block beyond what a column holds would never close."""
    with pytest.raises(CommandUsageError, match=f"^{sentence}"):
        check(changes)


def test_the_bounds_themselves_may_be() -> None:
    """Both of them."""
    check({"threshold": 1, "window_ms": 86_400_000, "block_ms": 0})
    check({"threshold": 100, "final_failures": 1_000_000})


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_none_is_refused(number: float) -> None:
    """Though Python has one of that name."""
    with pytest.raises(CommandUsageError, match=r"^--block is -?(inf|nan). Give a number."):
        in_ms("--block", number)


def test_units_become_milliseconds() -> None:
    """What is not given stays so."""
    assert in_ms("--block", 1.5) == 1_500
    assert in_ms("--forget", 2, 86_400) == 172_800_000
    assert in_ms("--forget", None) is None


def test_it_is_said_where_a_policy_is_not_in_force() -> None:
    """And where it is."""
    policy = Policy(version=3)
    assert str(InForce(policy, 4, [])).startswith("In force in 4 partitions. Policy 3: 5 wrong")
    assert "not in force yet in partitions [1, 2]" in str(InForce(policy, 4, [1, 2]))
