"""The pages have the figures that are kept, and no others."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import msgspec
import pytest

from bench import page
from bench.errors import BenchError
from bench.figures import Figure, Goal, Row
from bench.page import Kept, read, sections, take_in, written
from bench.plan_figures import Costs, save
from bench.report import Run, write

ROW = Row(
    figures=[Figure(row="P2", what="logins of <user>", unit="/s", ours=[50, 70], limit=[100, 100])],
    notes=["It was the client"],
    commit="abc1234",
    machine="2 x a CPU",
    at="2026-11-28T14:00:00+00:00",
)
COSTS = Costs(
    machine="2 x a CPU",
    commit="def5678",
    at="2026-11-29T14:00:00+00:00",
    cores=2,
    hash_core_ms=20.0,
    gateway_core_ms=1.0,
    kafka_core_ms=0.2,
    lookup_core_ms=0.03,
    commit_core_ms=0.02,
    worker_core_ms=0.05,
    worker_attempts_per_second=10_000.0,
    postgres_attempts_per_second=25_000.0,
    logins_per_second=180.0,
)


def results(folder: Path, row: Row, size: str = "usual") -> Path:
    """The file of a run that measured P2."""
    write(Run(size=size, rows={"P2": row}), folder)
    return folder / "results.json"


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_a_page_has_what_is_kept(path: Path) -> None:
    """A change of one of the two calls for `python -m bench.page`."""
    text = path.read_text()
    assert page.SECTION.search(text)
    assert written(text, sections(read(page.KEPT))) == text


def test_every_section_is_in_a_page() -> None:
    """With and without the figures of `make costs`."""
    names = {found[1] for path in page.PAGES for found in page.SECTION.findall(path.read_text())}
    assert names == set(sections(Kept(costs=COSTS)))
    assert set(sections(Kept())) < names


def test_a_row_says_its_commit_its_machine_and_its_day(tmp_path: Path) -> None:
    """And its ratio is the median of the pairs'."""
    kept = Kept()
    take_in(kept, results(tmp_path, ROW))
    made = sections(kept)
    assert (
        "| P2 | logins of \\<user> | 60 /s | 100 /s | 0.600 |  |  | abc1234, 2026-11-28, A |"
        in made["rows"].splitlines()
    )
    assert "A: 2 x a CPU." in made["rows"].splitlines()
    assert "- P2: It was the client." in made["what limits"]
    assert "| logins of <user> | 60/s | 100/s | 0.60 | P2, abc1234 |" in made["rows in short"]


def test_cerrojo_and_a_row_lock_stand_side_by_side() -> None:
    """With the commit of both, in both languages."""
    what = "right ones refused of 100 at once, the worst of 8 accounts"
    beside = Figure(row="P12", what=what, unit="", ours=[2.0], limit=[98.0])
    made = sections(Kept(rows={"P12": msgspec.structs.replace(ROW, figures=[beside])}))
    for name, told in (
        ("side by side", what),
        ("side by side, es", "correctas rechazadas de 100 a la vez; la peor de 8 cuentas"),
    ):
        head, _, line = made[name].splitlines()
        assert head.startswith("| P12 ")
        assert "abc1234" in head
        assert line == f"| {told} | 2 | 98 |"


def test_nothing_in_the_spanish_readme_is_english() -> None:
    """A figure with other words needs these words in Spanish."""
    kept = read(page.KEPT)
    said = {
        page.NUMBER.sub("#", figure.what)
        for row in kept.rows.values()
        for figure in row.figures
        if figure.row in (*page.IN_README, page.BESIDE_A_ROW_LOCK)
    }
    assert said <= page.SPANISH.keys()
    assert all(key.count("#") == told.count("#") for key, told in page.SPANISH.items())


def test_a_row_that_was_not_measured_is_in_the_table_all_the_same() -> None:
    """Or nobody would miss it."""
    table = sections(Kept(rows={"P3": Row(figures=[], notes=[], commit="abc", machine="a CPU")}))
    for row in ("| P2 | no figure | | | | | |  |", "| P3 | no figure | | | | | | abc, A |"):
        assert row in table["rows"].splitlines()


def test_a_further_run_leaves_the_other_rows(tmp_path: Path) -> None:
    """Each has a commit of its own."""
    kept = Kept(rows={"P3": ROW, "P2": msgspec.structs.replace(ROW, commit="older")})
    take_in(kept, results(tmp_path, ROW))
    assert {name: row.commit for name, row in kept.rows.items()} == {
        "P2": "abc1234",
        "P3": "abc1234",
    }


def test_costs_give_the_plan(tmp_path: Path) -> None:
    """The same as `make plan`."""
    kept = Kept()
    take_in(kept, save(COSTS, tmp_path))
    assert "| hashing passwords | 2,857.1 | 93.9% |" in sections(kept)["plan"]
    assert "def5678, 2026-11-29; 2 x a CPU" in sections(kept)["plan"].replace("\n", " ")
    short = sections(kept)["plan in short"].replace("\n ", "")
    assert "2,857 cores for hashes and 186 for everything else" in short


@pytest.mark.parametrize(
    ("size", "commit", "why"),
    [("tiny", "abc1234", "SIZE=tiny"), ("usual", "abc1234-dirty", "no commit")],
)
def test_what_nobody_could_measure_again_is_refused(
    tmp_path: Path, size: str, commit: str, why: str
) -> None:
    """With the reason."""
    file = results(tmp_path, msgspec.structs.replace(ROW, commit=commit), size)
    with pytest.raises(BenchError, match=why):
        take_in(Kept(), file)


def test_a_refused_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the figures nor the pages."""
    kept, text = tmp_path / "performance.json", tmp_path / "page.md"
    kept.write_bytes(msgspec.json.encode(Kept()))
    text.write_text("<!-- figures: rows -->\nold\n<!-- end of figures -->\n")
    before = kept.read_bytes(), text.read_text()
    monkeypatch.setattr(page, "KEPT", kept)
    monkeypatch.setattr(page, "PAGES", (text,))
    monkeypatch.setattr(page, "PROJECT", tmp_path)
    (tmp_path / "results.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["page", str(tmp_path / "results.json")])
    assert page.main() == 1
    assert "cannot be used" in capsys.readouterr().err
    assert (kept.read_bytes(), text.read_text()) == before
    monkeypatch.setattr(sys, "argv", ["page", str(results(tmp_path, ROW))])
    assert page.main() == 0
    assert "abc1234" in text.read_text()
    assert read(kept).rows["P2"].commit == "abc1234"


def test_a_goal_may_have_two_bounds() -> None:
    """As that of five has."""
    five = Goal(at_least=5, at_most=5)
    assert (five.text(), [five.met(n) for n in (4, 5, 6)]) == ("= 5", [False, True, False])
    between = Goal(at_least=1, at_most=2, of_the_limit=True)
    assert between.text() == ">= 1, <= 2 x limit"


@pytest.mark.parametrize("ours", [[], [math.nan]])
def test_no_figure_misses_its_goal(ours: list[float]) -> None:
    """A limit of nothing gives no ratio."""
    goal = Goal(at_most=1)
    assert Figure(row="P1", what="", unit="", ours=ours, goal=goal).met is False
    beside_nothing = Figure(row="P1", what="", unit="", ours=[0.0], limit=[0.0], goal=goal)
    assert (beside_nothing.ratio, beside_nothing.met) == (None, True)
