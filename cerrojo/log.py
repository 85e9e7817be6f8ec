"""`cerrojo policy`, `quarantine`, `partitions` and `resize`: by Kafka and Postgres.

The policies before come by the operator port.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cerrojo import config
from cerrojo.output import progress, show, table
from cerrojo.ports import operator_port
from workers.commands import change_policy
from workers.commands import partitions as partition_states
from workers.commands import quarantine as put_aside
from workers.commands import resize as resizing

DAY_SECONDS = 86_400.0


policy = typer.Typer()


@policy.callback(invoke_without_command=True)
def change(
    context: typer.Context,
    threshold: Annotated[
        int | None, typer.Option(help="wrong passwords that block an account")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="seconds within which these wrong passwords count")
    ] = None,
    block: Annotated[
        float | None, typer.Option(help="first block in seconds; 0: until an operator lifts it")
    ] = None,
    block_max: Annotated[
        float | None, typer.Option(help="longest block in seconds; blocks double")
    ] = None,
    final: Annotated[
        int | None,
        typer.Option(
            help="wrong passwords in a row after which only an operator lifts the block; 0: never"
        ),
    ] = None,
    forget: Annotated[
        float | None,
        typer.Option(help="days after the last wrong password until all are forgotten; 0: never"),
    ] = None,
    forget_each: Annotated[
        float | None,
        typer.Option(
            help="sooner, after so many days for each wrong password in a row; 0: not sooner"
        ),
    ] = None,
    repeated: Annotated[
        Literal["count", "ignore"] | None,
        typer.Option(help="whether a wrong password counts again that counts already"),
    ] = None,
    reason: config.Reason = "",
) -> None:
    """Show the policy; with options, put another one into the log of every partition.

    What has no option stays as it is.
    """
    if context.invoked_subcommand:
        return
    given = {
        "threshold": threshold,
        "window_ms": change_policy.in_ms("--window", window),
        "block_ms": change_policy.in_ms("--block", block),
        "block_max_ms": change_policy.in_ms("--block-max", block_max),
        "final_failures": final,
        "forget_ms": change_policy.in_ms("--forget", forget, DAY_SECONDS),
        "forget_each_ms": change_policy.in_ms("--forget-each", forget_each, DAY_SECONDS),
    }
    numbers = {name: value for name, value in given.items() if value is not None}
    change_policy.check(numbers)
    changes = numbers | ({"repeated_guesses": repeated} if repeated else {})
    why = change_policy.checked_reason(reason)
    found = change_policy.run(config.load(), changes, why)
    show(found, str(found))


@policy.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="the most to show")] = 100,
) -> None:
    """Show the policies that came into force while the audit is kept, newest first."""
    found = operator_port(config.load()).ask("GET", f"/policy/history?limit={limit}")
    rows = (
        [one["version"], one["since"], ", ".join(_changed(one)) or None]
        for one in found["policies"]
    )
    nothing = "The audit has no change of the policy."
    show(found, table(["version", "since", "changed"], rows, nothing))


def _changed(former: dict[str, Any]) -> list[str]:
    policy = former["policy"] or {}
    return [f"{name} = {policy[name]}" for name in former["changed"]]


quarantine = typer.Typer(help="List records that could not be decided, or append them again.")


@quarantine.callback(invoke_without_command=True)
def list_quarantine(context: typer.Context) -> None:
    """List records that could not be decided, or append them again."""
    if context.invoked_subcommand:
        return
    entries = put_aside.entries(config.load())
    columns = ("partition", "generation", "offset", "at", "bytes", "reason")
    rows = [
        (e.partition, e.generation, e.log_offset, e.at, len(e.value or b""), e.reason)
        for e in entries
    ]
    show(
        {"quarantine": [dict(zip(columns, row, strict=True)) for row in rows]},
        table(columns, rows, "The quarantine is empty."),
    )


@quarantine.command()
def replay(
    partition: Annotated[int | None, typer.Argument()] = None,
    offset: Annotated[int | None, typer.Argument(help="in its newest generation")] = None,
    all_: Annotated[
        bool,
        typer.Option("--all", help="all listed records, of the partition if one is given"),
    ] = False,
    late: Annotated[
        bool,
        typer.Option(
            "--late", help="also such as were not signed when the log got them, and may be copies"
        ),
    ] = False,
) -> None:
    """Append records to the same partition again, to be decided there."""
    done = put_aside.replay(config.load(), partition, offset, all_, late)
    show(done, str(done))


def partitions() -> None:
    """Show who decides each partition, how far, and how many records wait."""
    found = partition_states.run(config.load())
    columns = ("partition", "lag", "next offset", "end offset", "generation", "policy", "owner")
    rows = (
        [s.partition, s.lag, s.next_offset, s.end_offset, s.generation, s.policy, s.owner]
        for s in found
    )
    show({"partitions": found}, table(columns, rows, "No partitions are used yet."))


def resize(
    partitions: Annotated[
        int | None,
        typer.Argument(help="number to use from now on; never fewer than before"),
    ] = None,
    reason: config.Reason = "",
) -> None:
    """Show how many partitions are used, or use more, while logins go on."""
    why = change_policy.checked_reason(reason)
    with progress("Partitions ready") as bar:
        task = bar.add_task("", total=None, visible=False)
        found = resizing.run(
            config.load(),
            partitions,
            lambda done, of: bar.update(task, completed=done, total=of, visible=True),
            why,
        )
    show(found, str(found))
