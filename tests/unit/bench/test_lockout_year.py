"""The year of attack: it says the same each time, and the days are those of the owners."""

from __future__ import annotations

import pytest

from bench import lockout_year
from bench.lockout_year import BEGIN, DAYS, END, PAGE, VARIANTS, Result, Variant, Year
from events.messages import Policy

NEITHER, *_, BOTH, ENDLESS = VARIANTS


def year(variant: Variant, attack: str, owners: int = 3) -> Result:
    """Of some owners together."""
    results = [Year(variant, attack, f"7 {n}").run() for n in range(owners)]
    return Result(sum(one.lost for one in results), sum(one.guesses for one in results))


def test_an_owner_is_shut_out_without_a_device_and_not_with_one() -> None:
    """That is what the table is about."""
    assert year(NEITHER, "shut out").lost > 3 * 0.9 * DAYS
    assert year(BOTH, "shut out").lost < 3 * 0.1 * DAYS
    assert year(NEITHER, "shut out") == year(NEITHER, "shut out")


def test_a_stolen_cookie_is_worth_the_threshold() -> None:
    """Besides what anybody may guess."""
    by_cookie = year(ENDLESS, "thief").guesses
    assert 0 <= by_cookie - year(ENDLESS, "patient").guesses <= 3 * Policy().threshold


def test_the_page_keeps_what_is_around_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The markers are there, and a table has a row for each variant."""
    assert PAGE.read_text().count(BEGIN) == PAGE.read_text().count(END) == 1
    monkeypatch.setattr(lockout_year, "ATTACKS", {"nobody": "nobody guesses"})
    monkeypatch.setattr("sys.argv", ["lockout_year", "--owners", "1"])
    assert lockout_year.main() == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {one.name}" for one in VARIANTS]
