"""The outcome of a run: a table for people and JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.faults import Outcome
from tests.chaos.run import Run
from tests.harness import oracle_answers
from tests.harness.evidence import Answered, Evidence
from tests.harness.oracle_replay import replay

LEAD_MS = 20.0
"""An attempt that came this shortly before a fault may have lost its answer by it."""


@dataclass
class Row:
    """All faults of one kind. Times are milliseconds until logins were answered again."""

    times: int = 0
    since_fault: list[float] = field(default_factory=list)
    since_return: list[float] = field(default_factory=list)
    refused: int = 0
    """Logins that were answered 503."""
    broken: int = 0
    """Logins whose connection broke."""
    untold: int = 0
    """Attempts that were decided and whose client never heard of it."""


def rows(outcomes: list[Outcome], evidence: Evidence) -> dict[str, Row]:
    """The table's rows, in the order of the kinds' names."""
    answers = evidence.answers or []
    decided = [d for one in replay(evidence.attempts).partitions.values() for d in one.decided]
    untold = [row.record.ms for row in oracle_answers.untold(answers, decided)]
    table = {kind: Row() for kind in sorted({outcome.kind for outcome in outcomes})}
    starts = [outcome.started_ms - LEAD_MS for outcome in outcomes] + [float("inf")]
    for outcome, (start, end) in zip(outcomes, pairwise(starts), strict=True):
        row = table[outcome.kind]
        row.times += 1
        if outcome.answered_ms is not None:
            row.since_fault.append(outcome.answered_ms - outcome.started_ms)
            if outcome.returned_ms is not None:
                row.since_return.append(max(0.0, outcome.answered_ms - outcome.returned_ms))
        row.refused += _count(answers, 503, start, end)
        row.broken += _count(answers, 0, start, end)
        row.untold += sum(start <= ms < end for ms in untold)
    return table


def show(runs: Sequence[Run], seed: int) -> None:
    """Print it all."""
    table = _table(runs)
    screen = Console(width=max(120, Console().width))
    shown = Table(title=f"chaos with CERROJO_CHAOS_SEED={seed}")
    shown.add_column("fault")
    for column in (
        "times",
        "answered p50",
        "max",
        "since return p50",
        "max",
        "503",
        "broken",
        "answers lost",
    ):
        shown.add_column(column, justify="right")
    for kind, row in table.items():
        shown.add_row(
            kind,
            str(row.times),
            *_middle_and_worst(row.since_fault),
            *_middle_and_worst(row.since_return),
            *map(str, (row.refused, row.broken, row.untold)),
        )
    screen.print(shown)
    differences = [difference for run in runs for difference in run.differences]
    logins = sum(len(run.evidence.answers or []) for run in runs)
    records = sum(len(run.evidence.attempts) for run in runs)
    screen.print(
        f"{sum(row.times for row in table.values())} faults, {logins} logins,"
        f" {records} records in the log: {len(differences)} differences"
    )
    for difference in differences[:50]:
        screen.print(f"- {difference}", markup=False)


def as_json(runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """The same for machines, with every single fault."""
    return {
        "seed": seed,
        "differences": [difference for run in runs for difference in run.differences],
        "kinds": {kind: asdict(row) for kind, row in _table(runs).items()},
        "growth": [run.growth._asdict() for run in runs],
        "faults": [asdict(outcome) for run in runs for outcome in run.outcomes],
    }


def _table(runs: Sequence[Run]) -> dict[str, Row]:
    """The rows of all runs, of which no two have a kind in common."""
    return {kind: row for r in runs for kind, row in rows(r.outcomes, r.evidence).items()}


def _count(answers: list[Answered], status: int, start: float, end: float) -> int:
    return sum(a.status == status and start <= a.ended_ms < end for a in answers)


def _middle_and_worst(times: list[float]) -> tuple[str, str]:
    if not times:
        return "", ""
    return f"{median(times) / 1000:.2f} s", f"{max(times) / 1000:.2f} s"
