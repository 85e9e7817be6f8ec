"""The table, the JSON and the plots of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Row
from bench.plots import bars, lines

NO_FIGURE = "no figure"


class Run(msgspec.Struct, kw_only=True):
    """The part of a run that is kept."""

    size: str
    rows: dict[str, Row]


def show(rows: Mapping[str, Row]) -> None:
    """Print the table, and the notes of each row."""
    table = Table(title="Medians of interleaved repetitions")
    for column in ("row", "what", "ours", "limit", "ratio", "goal", ""):
        right = column in ("ours", "limit", "ratio", "goal")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for number, row in rows.items():
        for figure in row.figures:
            bad = not figure.measured or figure.met is False
            table.add_row(*cells(figure), style="red" if bad else None)
        if not row.figures:
            table.add_row(number, NO_FIGURE, style="red")
    Console(width=120).print(table)
    for number, row in rows.items():
        for note in row.notes:
            print(f"{number}: {note}.")


def write(run: Run, folder: Path) -> None:
    """Write everything into this folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(run), indent=2)
    (folder / "results.json").write_bytes(text)
    for row in run.rows.values():
        for plot in row.plots:
            (folder / f"{plot.name}.svg").write_bytes(lines(plot))
    if ratios := _ratios(run.rows.values()):
        (folder / "ratios.svg").write_bytes(bars(ratios))


def _ratios(rows: Iterable[Row]) -> list[tuple[str, float, float]]:
    return [
        (f"{figure.row} {figure.what}", figure.ratio, figure.goal.at_least)
        for row in rows
        for figure in row.figures
        if figure.measured
        and figure.goal
        and figure.goal.of_the_limit
        and figure.goal.at_least
        and figure.ratio
    ]


def cells(figure: Figure) -> list[str]:
    """A figure's cells in a table: row, what, ours, limit, ratio, goal, and whether that is met."""
    goal = figure.goal.text() if figure.goal else ""
    if not figure.measured:
        return [figure.row, f"{figure.what}: {NO_FIGURE}", "", "", "", goal, "NOT MET"]
    ratio = figure.ratio
    return [
        figure.row,
        figure.what,
        f"{number(median(figure.ours))} {figure.unit}".strip(),
        f"{number(median(figure.limit))} {figure.unit}".strip() if figure.limit else "",
        f"{ratio:.3f}" if ratio is not None else "",
        goal,
        {True: "met", False: "NOT MET", None: ""}[figure.met],
    ]


def number(value: float) -> str:
    """With three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
