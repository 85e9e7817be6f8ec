"""Plots as SVG, which a browser shows by themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pygal
from pygal.style import Style

from bench.figures import Plot

# For its maps pygal adds an importer of a kind that Python 3.12 passes over, and pytest fails on.
sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, pygal.PluginImportFixer)]

BLUE, RED, GREEN, VIOLET, GREY = "#1f6f8b", "#c8553d", "#588157", "#7b5ea7", "#bbbbbb"
FEW_POINTS = 20
"""A curve with fewer has a dot for each."""


def lines(plot: Plot) -> bytes:
    """A plot's curves as SVG, over two axes that begin at zero."""
    furthest = max(x for curve in plot.curves for x, _ in curve.points)
    chart = pygal.XY(
        _look(BLUE, RED, GREEN, VIOLET),
        title=plot.title,
        x_title=plot.x,
        y_title=plot.y,
        xrange=(0, furthest),
        include_x_axis=True,
    )
    for curve in plot.curves:
        chart.add(curve.name, curve.points, show_dots=len(curve.points) < FEW_POINTS)
    return bytes(chart.render())


def bars(rows: Sequence[tuple[str, float, float]]) -> bytes:
    """A bar for each (label, share of the limit, goal) as SVG, and one for its goal."""
    upwards = rows[::-1]
    chart = pygal.HorizontalBar(
        _look(BLUE, GREY),
        title="Shares of the limits; red is below its goal",
        height=120 + 60 * len(rows),
        x_labels=[label for label, _, _ in upwards],
        truncate_label=-1,
        print_values=True,
        value_formatter="{:.2f}".format,
    )
    shares = [{"value": v, "color": BLUE if v >= goal else RED} for _, v, goal in upwards]
    chart.add("share of the limit", shares)
    chart.add("goal", [goal for _, _, goal in upwards])
    return bytes(chart.render())


def _look(*colours: str) -> pygal.Config:
    style = Style(
        background="white",
        plot_background="white",
        font_family="sans-serif",
        guide_stroke_color="#dddddd",
        major_guide_stroke_color="#dddddd",
        colors=colours,
    )
    # By default the file would load a script from another host.
    return pygal.Config(
        style=style, js=[], width=720, height=420, legend_at_bottom=True, truncate_legend=-1
    )
