"""The report of a run, for a terminal: what was answered, what it cost, and the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass

from locust.stats import RequestStats
from rich.console import Console
from rich.table import Table

from loadtest._judge import Check

EXAMPLES = 3
BUSY = 0.8  # of a core: past this, Locust's one thread delays what it measures


@dataclass
class Cost:
    """How long a run took, and how much of a core Locust itself used, in this process."""

    wall: float
    cpu: float

    @classmethod
    def begin(cls) -> Cost:
        """Start the clocks."""
        return cls(-time.monotonic(), -time.process_time())

    def end(self) -> None:
        """Stop the clocks."""
        self.wall += time.monotonic()
        self.cpu += time.process_time()

    @property
    def share(self) -> float:
        """Of one core, which is all that one Locust process can use."""
        return self.cpu / self.wall


def print_report(stats: RequestStats, cost: Cost, checks: list[Check]) -> None:
    """Print the figures, then the verdict."""
    console = Console()
    console.print()
    console.print(_figures(stats, cost.wall))
    console.print(f"Locust used {cost.share:.0%} of a core over {cost.wall:.0f} s.")
    if cost.share > BUSY:
        console.print(
            "[bold yellow]Locust was the limit here, so the latencies above include its own. "
            "Use fewer clients.[/]"
        )
    console.print()
    console.print(_verdict(checks))
    failed = sum(not check.holds for check in checks)
    console.print(
        f"[bold red]FAILED: {failed} of {len(checks)} checks.[/]"
        if failed
        else f"[bold green]PASSED: all {len(checks)} checks.[/]"
    )


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
