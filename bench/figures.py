"""The figures of a row of the bench, and whether they are as good as they are to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec


class Goal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A bound, or two; of the ratio to the limit, or of the figure itself."""

    at_least: float | None = None
    at_most: float | None = None
    of_the_limit: bool = False

    def text(self) -> str:
        """As a table has it."""
        if self.at_least == self.at_most:
            bounds = f"= {self.at_least:g}"
        else:
            both = ((">=", self.at_least), ("<=", self.at_most))
            bounds = ", ".join(f"{sign} {bound:g}" for sign, bound in both if bound is not None)
        return f"{bounds}{' x limit' if self.of_the_limit else ''}"

    def met(self, value: float) -> bool:
        """Whether this value keeps the bounds."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


def share_of_limit(at_least: float) -> Goal:
    """So much of what the limit does."""
    return Goal(at_least=at_least, of_the_limit=True)


class Figure(msgspec.Struct, kw_only=True):
    """One line of the table."""

    row: str
    """As in "P2"; or as in "P1a", where a row has several goals."""
    what: str
    unit: str
    ours: Sequence[float]
    """Each repetition's."""
    limit: Sequence[float] = ()
    """The figures that were measured in turn with them."""
    goal: Goal | None = None

    @property
    def measured(self) -> bool:
        """Whether it is a figure at all."""
        return bool(self.ours) and all(map(math.isfinite, (*self.ours, *self.limit)))

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios, which what comes and goes on the machine moves least.

        None without a limit, or where that is nothing.
        """
        if not self.limit or 0 in self.limit:
            return None
        return median(ours / limit for ours, limit in zip(self.ours, self.limit, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        if not self.measured:
            return False
        value = self.ratio if self.goal.of_the_limit else median(self.ours)
        return value is not None and self.goal.met(value)


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
    """Sentences about its limit, its load, and all else that a reader has to know."""
    plots: list[Plot] = []
    commit: str = ""
    machine: str = ""
    at: str = ""
    size: str = ""
    """Of what it is, on what, when, and how much of everything; the run says it."""

    @property
    def measured(self) -> bool:
        """Whether it has figures, and all of them are some."""
        return bool(self.figures) and all(figure.measured for figure in self.figures)

    def without_what_is_no_number(self) -> None:
        """Empty the figures that could not be measured: JSON has no word for "not a number"."""
        for figure in self.figures:
            if not figure.measured:
                figure.ours = figure.limit = ()
        if not self.measured:
            self.plots = []
