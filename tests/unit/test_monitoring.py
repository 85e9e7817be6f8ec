"""Alerts and the dashboard ask for metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFINITIONS = ["gateway/metrics.py", "gateway/process_metrics.py", "workers/metrics.py"]
DEFINITION = re.compile(r'(Counter|Histogram|[Gg]auge)\(\s*"(cerrojo_\w+)"')
SUFFIXES = {"Counter": ["_total"], "Histogram": ["_bucket", "_sum", "_count"], "Gauge": [""]}
USE = re.compile(r"\bcerrojo_\w+")


def exposed() -> set[str]:
    """The names on the two /metrics pages, by how they are defined."""
    text = "".join((ROOT / path).read_text() for path in DEFINITIONS)
    found = DEFINITION.findall(text)
    return {name + suffix for kind, name in found for suffix in SUFFIXES[kind.capitalize()]}


@pytest.mark.parametrize("path", ["alerts.yml", "alerts_test.yml", "grafana/cerrojo.json"])
def test_only_metrics_that_exist_are_used(path: str) -> None:
    """A renamed metric would leave an alert that never fires and a panel that stays empty."""
    text = (ROOT / "monitoring" / path).read_text()
    if path == "alerts.yml":  # its words also name metrics, without the suffixes
        text = "".join(re.findall(r"expr: .*?\n {8}\w+:", text, re.DOTALL))
    used = set(USE.findall(text))
    assert used
    assert used <= exposed()
