"""Whether a run of the bench was a success."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from bench import __main__ as command
from bench import accounts
from bench.errors import BenchError
from bench.figures import Figure, Goal, Row
from bench.harness import Bench
from bench.report import Run as Results
from bench.system import CHEAPEST
from gateway.passwords.hashing import Hasher
from settings import load
from tests.paths import PROJECT

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The exit code of a run in this size, where the only row measures this; None: nothing."""

    def run(size: str, *ours: float) -> int:
        def measure(bench: Bench) -> Row:
            if not ours:
                raise BenchError("Something is missing.")
            figure = Figure(row="P1", what="it", unit="s", ours=ours, goal=Goal(at_most=2))
            return Row(figures=[figure], notes=[])

        monkeypatch.setitem(sys.modules, "bench.fake", SimpleNamespace(measure=measure))
        monkeypatch.setattr(command, "ROWS", {"P1": "fake"})
        monkeypatch.setattr(sys, "argv", ["bench", "--size", size, "--into", str(tmp_path / "i")])
        return command.main()

    return run


@pytest.mark.parametrize(
    ("size", "ours", "code"),
    [
        ("usual", [1.0], 0),
        ("usual", [3.0], 1),
        ("usual", [math.nan], 1),
        ("usual", [], 1),
        ("tiny", [1.0], 0),
        ("tiny", [3.0], 0),
        ("tiny", [math.nan], 1),
        ("tiny", [1.0, math.inf], 1),
        ("tiny", [], 1),
    ],
)
def test_a_row_without_a_figure_fails_and_a_missed_goal_where_it_counts(
    run: Run, size: str, ours: list[float], code: int
) -> None:
    """In the tiny size a goal says nothing."""
    assert run(size, *ours) == code


@pytest.mark.parametrize("error", [BenchError("It is away."), ValueError("Nobody thought of it.")])
def test_a_row_that_fails_leaves_the_others_their_figures(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    """And is in the table and in the file itself, without one."""

    def fail(bench: Bench) -> Row:
        raise error

    def measure(bench: Bench) -> Row:
        figure = Figure(row="P2", what="it", unit="s", ours=[math.nan])
        return Row(figures=[figure], notes=[])

    for name, function in (("fails", fail), ("is_nothing", measure)):
        monkeypatch.setitem(sys.modules, f"bench.{name}", SimpleNamespace(measure=function))
    good = Row(figures=[Figure(row="P3", what="it", unit="s", ours=[1.0])], notes=[])
    monkeypatch.setitem(sys.modules, "bench.good", SimpleNamespace(measure=lambda bench: good))
    monkeypatch.setattr(command, "ROWS", {"P1": "fails", "P2": "is_nothing", "P3": "good"})
    monkeypatch.setattr(sys, "argv", ["bench", "--size", "tiny", "--into", str(tmp_path)])
    assert command.main() == 1
    assert "No figure for P1, P2\n" in capsys.readouterr().out
    rows = msgspec.json.decode((tmp_path / "results.json").read_bytes(), type=Results).rows
    assert [row.measured for row in rows.values()] == [False, False, True]
    assert str(error) in rows["P1"].notes[0]
    assert all(row.commit and row.machine and row.at for row in rows.values())


def test_no_login_of_the_bench_renews_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that hashes anew would be measured with that."""

    def outdated(stored: str) -> bool:
        return Hasher(load()).is_outdated(stored)

    assert not outdated(accounts.real_hash())
    for name, value in CHEAPEST.items():
        monkeypatch.setenv(name, value)
    assert not outdated(accounts.cheap_hash())


def test_make_tiny_has_every_row_once() -> None:
    """It measures some beside the others."""
    text = (PROJECT / "Makefile").read_text()
    named = re.findall(r"-m bench --size tiny .*--rows (\S+)", text)
    assert sorted(",".join(named).split(",")) == sorted(command.ROWS)
