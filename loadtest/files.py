"""The files of a run: a page for people, CSV and JSON for machines."""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from loadtest.report import EXAMPLES, Outcome

REPORT, ANSWERS, HISTORY = "report.html", "answers.csv", "history.csv"
VERDICT, CAPACITY = "verdict.json", "capacity.json"


def keep(folder: Path, environment: Environment, outcome: Outcome) -> None:
    """Write the verdict and the figures for machines, and the verdict into Locust's own page."""
    folder.mkdir(parents=True, exist_ok=True)
    verdict = {
        "passed": outcome.holds,
        "policy": str(outcome.rules),
        "seconds": outcome.seconds,
        "locust": {"cost": [c._asdict() for c in outcome.costs], "warning": outcome.warning},
        "checks": [
            {"what": c.what, "holds": c.holds, "looked_at": c.looked_at, "broken": c.broken}
            for c in outcome.checks
        ],
    }
    (folder / VERDICT).write_text(json.dumps(verdict, indent=1) + "\n")
    if outcome.findings:
        found = json.dumps(outcome.findings.as_json(), indent=1)
        (folder / CAPACITY).write_text(found + "\n")
    with (folder / ANSWERS).open("w", newline="") as file:
        StatsCSV(environment, PERCENTILES_TO_REPORT).requests_csv(csv.writer(file))
    _write_history(folder / HISTORY, environment.stats.history)
    page = folder / REPORT
    if page.exists():
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("<body>", f"<body>\n{section(outcome)}", 1), encoding="utf-8")


def section(outcome: Outcome) -> str:
    """The verdict as a part of a page."""
    rows = [
        [c.what, "holds" if c.holds else "BROKEN", c.looked_at, *c.broken[:EXAMPLES]]
        for c in outcome.checks
    ]
    lines = [
        str(outcome),
        f"Judged by this policy: {outcome.rules}.",
        outcome.cost,
        outcome.warning,
    ]
    paragraphs = "".join(
        f'<p style="margin: 0.4em 0">{html.escape(line)}</p>' for line in lines if line
    )
    table = "".join(
        f"<tr><td>{'<br>'.join(map(html.escape, [what, *broken]))}"
        f"<td><b>{verdict}</b><td>{html.escape(looked_at)}"
        for what, verdict, looked_at, *broken in rows
    )
    found = f"<p><b>{html.escape(str(outcome.findings))}</b></p>" if outcome.findings else ""
    color = "#1b7f3b" if outcome.holds else "#b3261e"
    return (
        f'<section style="font: 16px sans-serif; color: #222; background: #fff; padding: 1em 2em; '
        f'border-top: 8px solid {color}"><h1>Verdict</h1>{paragraphs}{found}'
        f'<table cellpadding="6" style="text-align: left; border-spacing: 0">'
        f"<tr><th>Check<th>Verdict<th>Looked at{table}</table></section>"
    )


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """The figures that Locust's page plots: every few seconds, clients, rates and latencies."""
    rows = [{k: v[1] if isinstance(v, list) else v for k, v in entry.items()} for entry in history]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted(rows[0], reverse=True) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
