"""Plots as SVG: lines, and bars against their goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bench.figures import Plot

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 50
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7b5ea7")
TICKS = 5


def lines(plot: Plot) -> str:
    """Curves over two axes that begin at nothing."""
    points = [point for curve in plot.curves for point in curve.points]
    x_max, y_max = (1.05 * max(values) for values in zip(*points, strict=True))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return (
            LEFT + point[0] / x_max * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - point[1] / y_max * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_text(WIDTH / 2, 24, plot.title, 16, "middle")]
    for tick in range(TICKS + 1):
        x, _ = place((x_max * tick / TICKS, 0))
        _, y = place((0, y_max * tick / TICKS))
        parts += [
            _line(LEFT, y, WIDTH - RIGHT, y, "#ddd"),
            _text(LEFT - 8, y + 4, f"{y_max * tick / TICKS:.3g}", 12, "end"),
            _text(x, HEIGHT - BOTTOM + 18, f"{x_max * tick / TICKS:.3g}", 12, "middle"),
        ]
    parts += [
        _text((LEFT + WIDTH) / 2, HEIGHT - 10, plot.x, 13, "middle"),
        _text(LEFT - 8, TOP - 10, plot.y, 13, "middle"),
    ]
    for number, curve in enumerate(plot.curves):
        colour = COLOURS[number % len(COLOURS)]
        placed = [place(point) for point in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(placed) < 20:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in placed
            ]
        parts.append(_text(WIDTH - RIGHT, TOP + 18 * number, curve.name, 13, "end", colour))
    return _document(HEIGHT, parts)


def bars(title: str, rows: Sequence[tuple[str, float, float]]) -> str:
    """A bar for each (label, value, goal), and a mark where the goal is."""
    height = TOP + 44 * len(rows) + 20
    longest = 1.1 * max(max(value, goal) for _, value, goal in rows)
    parts = [_text(WIDTH / 2, 24, title, 16, "middle")]
    for number, (label, value, goal) in enumerate(rows):
        y = TOP + 44 * number
        width, mark = (v / longest * (WIDTH - 2 * RIGHT - 60) for v in (value, goal))
        colour = COLOURS[0] if value >= goal else COLOURS[1]
        parts += [
            _text(RIGHT, y + 10, label, 12, "start"),
            f'<rect x="{RIGHT}" y="{y + 16}" width="{width:.1f}" height="14" fill="{colour}"/>',
            _line(RIGHT + mark, y + 13, RIGHT + mark, y + 33, "#222"),
            _text(RIGHT + max(width, mark) + 6, y + 28, f"{value:.2f}", 12, "start"),
        ]
    return _document(height, parts)


def _document(height: float, parts: Iterable[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'font-family="sans-serif"><rect width="{WIDTH}" height="{height:g}" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def _text(x: float, y: float, text: str, size: int, anchor: str, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
