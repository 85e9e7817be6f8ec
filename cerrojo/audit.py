"""`cerrojo verify`, `whatif` and `shadow`: over the audit, by Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import TextColumn

from cerrojo import config
from cerrojo.errors import FAILED
from cerrojo.output import progress, show
from oracle import command
from oracle.verify import Report
from workers.commands import change_policy
from workers.commands import shadow as shadow_policy
from workers.commands import whatif as other_policies

MOST_DAYS = 36_500

_Processes = Annotated[int, typer.Option(min=1, help="that decide at the same time")]


def moment(text: str) -> int:
    """A time in ISO 8601, by default in UTC, in milliseconds. Raises ValueError for other text."""
    found = datetime.fromisoformat(text)
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def verify(
    days: Annotated[
        float | None, typer.Option(min=0, max=MOST_DAYS, help="only the last so many days")
    ] = None,
    begin: Annotated[
        int | None,
        typer.Option(
            "--from", parser=moment, metavar="TIME", help="only from this time on, by default UTC"
        ),
    ] = None,
    end: Annotated[
        int | None,
        typer.Option(
            "--to", parser=moment, metavar="TIME", help="only before it, as 2026-03-01T12:00"
        ),
    ] = None,
) -> None:
    """Verify the audit, by a second program for the same policy.

    Exit code 1: something is not as it was written or decided.
    """
    with progress("Verifying", TextColumn("{task.fields[rows]:,} rows")) as bar:
        task = bar.add_task("", total=None, rows=0)
        report = command.run(
            config.load(), days, begin, end, lambda rows: bar.update(task, rows=rows)
        )
    show(_found(report), command.describe(report))
    if report.differences:
        raise typer.Exit(FAILED)


def _found(report: Report) -> dict[str, Any]:
    """The report for a program."""
    return {
        **vars(report),
        "differences": [
            {**each.place._asdict(), "ms": each.ms, "sentence": each.sentence}
            for each in report.differences
        ],
    }


def whatif(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="what differs from the policy in force: "
            f"{', '.join(other_policies.PARTS)}, repeated; once for each policy",
        ),
    ] = None,
    days: Annotated[float, typer.Option(min=0, max=MOST_DAYS, help="of how many to today")] = 30.0,
    processes: _Processes = other_policies.PROCESSES,
) -> None:
    """Decide the attempts of the audit by other policies.

    Blocks, owners that were refused and guesses that were saved, of each policy.
    """
    settings = config.load()
    now = other_policies.in_force(settings)
    changed = {text: other_policies.changed(now, text) for text in policy or []}
    with progress("Attempts decided") as bar:
        task = bar.add_task("", total=None, visible=False)
        outcome = other_policies.run(
            settings,
            {"in force": now, **changed},
            other_policies.days_ago(days),
            processes,
            lambda done, of: bar.update(task, completed=done, total=of, visible=True),
        )
    show(_figures(outcome), str(outcome))


shadow = typer.Typer(help="Try a policy beside the one in force; it decides nothing.")


@shadow.callback(invoke_without_command=True)
def compare(
    context: typer.Context,
    processes: _Processes = other_policies.PROCESSES,
) -> None:
    """Show what the policy that is tried would have decided since its trial began.

    Blocks, owners that were refused and guesses that were saved.
    """
    if context.invoked_subcommand:
        return
    settings = config.load()
    found = shadow_policy.tried(settings)
    with progress("Attempts decided") as bar:
        task = bar.add_task("", total=None, visible=False)
        outcome = shadow_policy.compare(
            settings,
            found,
            processes,
            lambda done, of: bar.update(task, completed=done, total=of, visible=True),
        )
    show(
        {**msgspec.to_builtins(found), **_figures(outcome)},
        f"{found}\n\n{outcome}\n\n`cerrojo shadow promote` puts it into force.",
    )


@shadow.command()
def begin(
    changes: Annotated[
        str,
        typer.Argument(
            metavar="NAME=VALUE,...",
            help="what differs from the policy in force: "
            f"{', '.join(other_policies.PARTS)}, repeated",
        ),
    ],
) -> None:
    """Try a policy from now on, in the place of another one that is tried."""
    found = shadow_policy.begin(config.load(), changes)
    show(found, str(found))


@shadow.command()
def promote(reason: config.Reason = "") -> None:
    """Put the policy that is tried into the log of every partition, and end its trial."""
    found = shadow_policy.promote(config.load(), change_policy.checked_reason(reason))
    show(found, str(found))


@shadow.command()
def end() -> None:
    """End the trial."""
    shadow_policy.end(config.load())
    show({"shadow": None}, "No policy is tried any more.")


def _figures(outcome: other_policies.Outcome) -> dict[str, Any]:
    """The outcome for a program."""
    return {
        "attempts": outcome.attempts,
        "policies": {name: figures._asdict() for name, figures in outcome.figures.items()},
    }
