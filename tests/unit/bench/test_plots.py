"""The plots of a run: files that a browser shows without any other host."""

from __future__ import annotations

import re

import pytest

from bench.figures import Curve, Plot
from bench.plots import bars, lines

PLOT = Plot(
    name="latency",
    title="Latency <under load>",
    x="logins/s",
    y="p99 ms",
    curves=[
        Curve(name="ours", points=[(10.0, 5.0), (20.0, 7.5)]),
        Curve(name="the limit", points=[(float(x), x / 10) for x in range(40)]),
    ],
)
ROWS = [("P1 logins", 0.97, 0.9), ("P2 without the hash", 0.45, 0.5)]


def test_a_plot_names_its_axes_and_curves() -> None:
    """And marks the points of a curve that has few."""
    text = lines(PLOT).decode()
    for word in ("Latency &lt;under load&gt;", "logins/s", "p99 ms", "ours", "the limit"):
        assert f">{word}<" in text
    assert text.count("<circle") == 2


def test_a_bar_stands_beside_its_goal() -> None:
    """A bar that misses its goal has a colour of its own."""
    text = bars(ROWS).decode()
    for word in ("P1 logins", "P2 without the hash", "0.97", "0.90", "0.45", "0.50"):
        assert f">{word}<" in text
    assert re.findall(r'style="fill: (#\w+)', text) == ["#c8553d", "#1f6f8b"]


@pytest.mark.parametrize("file", [lines(PLOT), bars(ROWS)])
def test_a_plot_loads_nothing(file: bytes) -> None:
    """No scripts, styles or fonts of other files."""
    assert not re.search(rb"href|src=|@import|url\(", file)
