"""The table, the JSON and the plots of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench import svg
from bench.figures import Figure, Row


class Run(msgspec.Struct, kw_only=True):
    """What is kept of it."""

    machine: str
    commit: str
    at: str
    rows: dict[str, Row]


def show(rows: Mapping[str, Row]) -> None:
    """Print the table, and what is to be said about each row."""
    table = Table(title="Medians of interleaved repetitions")
    for column in ("row", "what", "ours", "limit", "ratio", "goal", ""):
        right = column in ("ours", "limit", "ratio", "goal")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for row in rows.values():
        for figure in row.figures:
            table.add_row(*_cells(figure))
    Console(width=120).print(table)
    for number, row in rows.items():
        for note in row.notes:
            print(f"{number}: {note}.")


def write(run: Run, folder: Path) -> None:
    """Write everything into this folder, which is made."""
    folder.mkdir(parents=True)
    text = msgspec.json.format(msgspec.json.encode(run), indent=2)
    (folder / "results.json").write_bytes(text)
    for row in run.rows.values():
        for plot in row.plots:
            (folder / f"{plot.name}.svg").write_text(svg.lines(plot))
    if ratios := _ratios(run.rows.values()):
        (folder / "ratios.svg").write_text(svg.bars("Shares of the limits, and goals", ratios))


def _ratios(rows: Iterable[Row]) -> list[tuple[str, float, float]]:
    return [
        (f"{figure.row} {figure.what}", figure.ratio, figure.goal.at_least)
        for row in rows
        for figure in row.figures
        if figure.goal and figure.goal.of_the_limit and figure.goal.at_least and figure.ratio
    ]


def _cells(figure: Figure) -> list[str]:
    ratio = figure.ratio
    return [
        figure.row,
        figure.what,
        f"{_number(median(figure.ours))} {figure.unit}",
        f"{_number(median(figure.limit))} {figure.unit}" if figure.limit else "",
        f"{ratio:.3f}" if ratio is not None else "",
        figure.goal.text() if figure.goal else "",
        {True: "met", False: "NOT MET", None: ""}[figure.met],
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
