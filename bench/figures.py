"""What a row of the bench says, and whether it is as good as it is to be."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec


class Goal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A bound; of the ratio to the limit, or of the figure itself."""

    at_least: float | None = None
    at_most: float | None = None
    of_the_limit: bool = False

    def text(self) -> str:
        """As a table has it."""
        sign, bound = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return f"{sign} {bound:g}{' x limit' if self.of_the_limit else ''}"


def share_of_limit(at_least: float) -> Goal:
    """So much of what the limit does."""
    return Goal(at_least=at_least, of_the_limit=True)


class Figure(msgspec.Struct, kw_only=True):
    """One line of the table."""

    row: str
    """As in "P1"."""
    what: str
    unit: str
    ours: Sequence[float]
    """Each repetition's."""
    limit: Sequence[float] = ()
    """What was measured in turn with them."""
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios, which what comes and goes on the machine moves least."""
        pairs = zip(self.ours, self.limit, strict=True) if self.limit else ()
        ratios = [ours / limit for ours, limit in pairs]
        return median(ratios) if ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.of_the_limit else median(self.ours)
        assert value is not None
        if self.goal.at_least is not None:
            return value >= self.goal.at_least
        assert self.goal.at_most is not None
        return value <= self.goal.at_most


class Curve(msgspec.Struct, kw_only=True):
    """Points of a plot."""

    name: str
    points: list[tuple[float, float]]


class Plot(msgspec.Struct, kw_only=True):
    """One picture."""

    name: str
    """Of its file."""
    title: str
    x: str
    y: str
    curves: list[Curve]


class Row(msgspec.Struct, kw_only=True):
    """Everything that a row measured."""

    figures: list[Figure]
    notes: list[str]
    """Sentences: what limited it, what the load was, what to know."""
    plots: list[Plot] = []
