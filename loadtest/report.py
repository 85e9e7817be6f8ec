"""The report of a run, for a terminal: the answers, their cost, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from locust.stats import RequestStats
from rich.console import Console
from rich.table import Table

from loadtest.cost import Cost, cost_sentence, cost_warning
from loadtest.judge import Check
from loadtest.knee_search import Findings
from loadtest.ledger import Rules

EXAMPLES = 3


@dataclass(frozen=True)
class Outcome:
    """All that there is to say about a run, besides Locust's own figures."""

    rules: Rules
    seconds: float
    costs: list[Cost]
    checks: list[Check]
    findings: Findings | None

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)

    @property
    def cost(self) -> str:
        """The load of Locust itself, in a sentence."""
        return cost_sentence(self.costs, self.seconds)

    @property
    def warning(self) -> str | None:
        """A warning where Locust was the limit, with its meaning and the way out."""
        return cost_warning(self.costs)

    def __str__(self) -> str:
        """The verdict in a line."""
        failed, number = sum(not check.holds for check in self.checks), len(self.checks)
        return f"FAILED: {failed} of {number} checks" if failed else f"PASSED: all {number} checks"


def print_report(stats: RequestStats, outcome: Outcome) -> None:
    """Print the figures, then the verdict."""
    console = Console()
    console.print()
    console.print(_figures(stats, outcome.seconds))
    console.print(outcome.cost)
    if outcome.warning:
        console.print(f"[bold yellow]{outcome.warning}[/]")
    if outcome.findings:
        console.print()
        console.print(_steps(outcome.findings))
        console.print(f"[bold]{outcome.findings}[/]")
    console.print()
    console.print(f"Judged by this policy: {outcome.rules}.")
    console.print(_verdict(outcome.checks))
    console.print(f"[bold {'green' if outcome.holds else 'red'}]{outcome}[/]")


def _figures(stats: RequestStats, seconds: float) -> Table:
    table = Table("Answer", title="Latencies in ms", title_justify="left")
    for column in ("number", "per second", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="right")
    for entry in sorted(stats.entries.values(), key=lambda e: e.name):
        table.add_row(
            entry.name,
            f"{entry.num_requests:,}",
            f"{entry.num_requests / seconds:,.1f}",
            *(f"{entry.get_response_time_percentile(p):,.0f}" for p in (0.5, 0.95, 0.99)),
            f"{entry.max_response_time:,.0f}",
        )
    return table


def _steps(findings: Findings) -> Table:
    table = Table(title=f"Steps to p99 = {findings.limit_ms:g} ms", title_justify="left")
    for column in ("clients", "logins/s", "p50 ms", "p99 ms", "not let in", "within"):
        table.add_column(column, justify="right")
    for step in findings.steps:
        table.add_row(
            str(step.clients),
            f"{step.logins_per_second:,.1f}",
            f"{step.p50_ms:,.0f}",
            f"{step.p99_ms:,.0f}",
            f"{step.not_let_in:,}",
            "[green]yes[/]" if step.within_limit else "[red]no[/]",
        )
    return table


def _verdict(checks: list[Check]) -> Table:
    table = Table("Check", "Verdict", "Looked at", title="Verdict", title_justify="left")
    for check in checks:
        shown = [f"[red]{example}[/]" for example in check.broken[:EXAMPLES]]
        more = len(check.broken) - len(shown)
        table.add_row(
            "\n  ".join([check.what, *shown, *([f"and {more:,} more"] if more > 0 else [])]),
            "[green]holds[/]" if check.holds else "[bold red]broken[/]",
            check.looked_at,
        )
    return table
