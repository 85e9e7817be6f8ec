"""How much stands against a source, by the accounts that fail there and those that get in.

One rule for a single source and for all of them together: as many accounts may fail as get in, and
`allowance` more. From there to twice the allowance the severity grows from 0 to 1, which is a delay
that grows; above 1 a source is refused.
"""

from __future__ import annotations

REFUSED_ABOVE = 1.0
"""The severity up to which a source is only delayed."""

STRANGERS_ALLOWANCE = 1
"""The accounts that may fail, while an attack lasts, where none got in: a person has one."""


def severity(failed: int, succeeded: int, allowance: int) -> float:
    """0 where nothing stands against it; an allowance of 0 is no limit."""
    if not allowance:
        return 0.0
    return max(0, failed - succeeded - allowance) / allowance


def severity_of_source(failed: int, succeeded: int, allowance: int, attack: bool) -> float:
    """That of a source, while there is an attack over all sources, or none.

    While it lasts, a source where nobody got in lately is delayed when two accounts failed there,
    and refused with the third.
    """
    strict = attack and not succeeded
    return severity(failed, succeeded, min(allowance, STRANGERS_ALLOWANCE) if strict else allowance)
