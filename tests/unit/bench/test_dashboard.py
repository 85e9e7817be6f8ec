"""What counts as data of a panel."""

from __future__ import annotations

import json

import pytest

from bench import dashboard
from bench.dashboard import MONITORING, queries, report, values


def answer(*found: str) -> dict[str, object]:
    """Prometheus' answer with these values."""
    series = [{"metric": {}, "value": [1.7e9, value]} for value in found]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


def test_a_panel_whose_value_is_no_number_is_empty() -> None:
    """A quantile of nothing is NaN, and Grafana shows nothing; zero and infinity it shows."""
    assert values(answer()) == []
    assert values(answer("NaN", "NaN")) == []
    assert values(answer("NaN", "0", "+Inf")) == [0.0, float("inf")]


def test_every_query_of_the_dashboard_is_asked() -> None:
    """Prometheus knows none of Grafana's variables, and would refuse a query with one."""
    text = (MONITORING / "grafana" / "cerrojo.json").read_text()
    asked = queries(text)
    assert len(asked) == text.count('"expr"')
    assert not [query for query in asked if "$" in query.text]


def test_an_empty_panel_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And fails the command."""
    monkeypatch.setattr(dashboard, "ask", lambda _, query: answer(*[] if "lag" in query else "1"))
    assert report("") == 1
    printed = capsys.readouterr().out
    assert printed.startswith("no data: Lag by partition: max by (partition) (cerrojo_lag)\n")
    monkeypatch.setattr(dashboard, "ask", lambda _, query: answer("1"))
    assert report("") == 0


def test_panels_have_ids_of_their_own() -> None:
    """Of two with the same id, Grafana shows one."""
    panels = json.loads((MONITORING / "grafana" / "cerrojo.json").read_text())["panels"]
    ids = [panel["id"] for panel in panels]
    assert sorted(set(ids)) == sorted(ids)
