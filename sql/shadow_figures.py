"""What stands in `shadow_policy.figures`: the relay counts it, and the operator port shows it."""

from __future__ import annotations

from msgspec import Struct


class Counted(Struct):
    """The figures, as they stand beside the policy that is tried."""

    since_ms: int
    """When the trial began that they are of."""
    as_of_ms: int
    """What was decided by then is counted."""
    one_of: int
    """1: all accounts are counted; otherwise one in so many, and the figures are estimates."""
    version: int
    """Of the policy that was in force by then."""
    attempts: int
    as_it_was: dict[str, int]
    """What the audit has: blocks, owners refused, guesses saved."""
    in_force: dict[str, int]
    """What the policy in force would have come to over the same time."""
    shadow: dict[str, int]
