"""Alerts and the dashboard ask for metrics that exist."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gateway.web.errors import _REFUSALS
from tests.paths import PROJECT

DEFINITIONS = [
    *("gateway/metrics.py", "gateway/supervisor_metrics.py", "gateway/passwords/hash_metrics.py"),
    *("workers/metrics.py", "processes/host_metrics.py", "events/signature_metrics.py"),
]
DEFINITION = re.compile(r'(Counter|Histogram|[Gg]auge)\(\s*"(cerrojo_\w+)"')
SUFFIXES = {"Counter": ["_total"], "Histogram": ["_bucket", "_sum", "_count"], "Gauge": [""]}
USE = re.compile(r"\bcerrojo_\w+")
SELECTOR = re.compile(r'\b(cerrojo_\w+_total)\{(\w+)=\\?"(\w+)\\?"\}')
SAMPLES = """
import importlib, sys
from prometheus_client import REGISTRY, generate_latest
for module in sys.argv[1:]: importlib.import_module(module)
print(generate_latest(REGISTRY).decode())
"""
_BOTH = ("processes.host_metrics", "events.signature_metrics")
SIDES = {
    "gateway": ("gateway.metrics", "gateway.supervisor_metrics", *_BOTH),
    "workers": ("workers.metrics", *_BOTH),
}


def exposed() -> set[str]:
    """The names on the two /metrics pages, by how they are defined."""
    text = "".join((PROJECT / path).read_text() for path in DEFINITIONS)
    found = DEFINITION.findall(text)
    return {name + suffix for kind, name in found for suffix in SUFFIXES[kind.capitalize()]}


@pytest.mark.parametrize("path", ["alerts.yml", "alerts_test.yml", "grafana/cerrojo.json"])
def test_only_metrics_that_exist_are_used(path: str) -> None:
    """A renamed metric would leave an alert that never fires and a panel that stays empty."""
    text = (PROJECT / "monitoring" / path).read_text()
    if path == "alerts.yml":  # its words also name metrics, without the suffixes
        text = "".join(re.findall(r"expr: .*?\n {8}\w+:", text, re.DOTALL))
    used = set(USE.findall(text))
    assert used
    assert used <= exposed()


def at_the_start(side: str) -> str:
    """The metrics that are exposed before anything has happened; some names are on both sides."""
    command = [sys.executable, "-c", SAMPLES, *SIDES[side]]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("side", SIDES)
def test_every_counter_is_there_from_the_start(side: str) -> None:
    """Else nothing sees its first event: an increase is a difference of two samples."""
    text = at_the_start(side)
    counters = re.findall(r"# TYPE (cerrojo_\w+) counter", text)
    assert len(counters) > 4
    for name in counters:
        assert re.search(rf"^{name}(\{{.*\}})? 0\.0$", text, re.MULTILINE), name


def test_every_series_that_is_asked_for_is_there_from_the_start() -> None:
    """A panel of a series that is missing is empty, and looks like one that is broken."""
    text = "".join(map(at_the_start, SIDES))
    asked = {
        found
        for path in ("alerts.yml", "grafana/cerrojo.json")
        for found in SELECTOR.findall((PROJECT / "monitoring" / path).read_text())
    }
    assert ("cerrojo_logins_total", "result", "unavailable") in asked
    for name, label, value in asked:
        assert f'{name}{{{label}="{value}"}} 0.0' in text


@pytest.mark.parametrize("result", ["unavailable", "overloaded"])
@pytest.mark.parametrize("path", ["alerts.yml", "grafana/cerrojo.json"])
def test_an_outage_of_services_attempts_is_seen_as_one_of_logins(path: str, result: str) -> None:
    """Where services ask for all verdicts, nobody logs in here, and a share of that is none."""
    asked = SELECTOR.findall((PROJECT / "monitoring" / path).read_text())
    for counter in ("cerrojo_logins_total", "cerrojo_service_attempts_total"):
        assert (counter, "result", result) in asked


def test_every_refusal_has_a_series() -> None:
    """Of logins, or of registrations."""
    text = at_the_start("gateway")
    for refusal in _REFUSALS.values():
        assert f'{{result="{refusal.result}"}} 0.0' in text


def test_every_alert_is_tried() -> None:
    """`promtool test rules` shows that each fires; one that it does not name was never seen to."""
    folder = PROJECT / "monitoring"
    alerts = re.findall(r"- alert: (\w+)", (folder / "alerts.yml").read_text())
    tried = (folder / "alerts_test.yml").read_text()
    assert alerts
    assert [alert for alert in alerts if not re.search(rf"\b{alert}\b", tried)] == []
