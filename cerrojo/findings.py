"""What `cerrojo doctor` finds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not for long, or not as it should."""
    FAILED = "failed"
    """It does not work."""


class Finding(Struct):
    """One thing that was looked at."""

    check: str
    state: State
    sentence: str
    """What is so; where that is not good, with the way out."""


Findings = Iterator[Finding]


def ok(check: str, sentence: str) -> Finding:
    """It is as it should be."""
    return Finding(check, State.OK, sentence)


def warning(check: str, sentence: str) -> Finding:
    """It works, but."""
    return Finding(check, State.WARNING, sentence)


def failed(check: str, sentence: str) -> Finding:
    """It does not work."""
    return Finding(check, State.FAILED, sentence)


def by_difference(check: str, what: str, shown: float, began: float, ended: float) -> Finding:
    """What it means that a clock showed this at some moment between these two of this machine's.

    In seconds since 1970. How long the answer took says nothing about the clock.
    """
    seconds = shown - min(max(shown, began), ended)
    differ = f"{what} and this machine are {abs(seconds):.1f} s apart."
    if abs(seconds) > SEVERE_SECONDS:
        return failed(check, f"{differ} {_CLOCKS}")
    if abs(seconds) > SLIGHT_SECONDS:
        return warning(check, f"{differ} {_CLOCKS}")
    return ok(check, differ)


SLIGHT_SECONDS, SEVERE_SECONDS = 2.0, 60.0
"""Clocks so far apart: worth a look, and as far as the alerts let them be."""

_CLOCKS = "Set the clock that is wrong, and let both follow one time server."
