"""`cerrojo webhooks`: where events are posted to, and what did not arrive; by Postgres.

A new secret is printed as it is, in a pipe, too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import psycopg
import typer
from psycopg import Connection

from cerrojo import config
from cerrojo.output import report, show, show_secret, table
from sql.connection import connection_options
from workers.commands.errors import CommandError, CommandUsageError
from workers.relay import webhooks as kept

webhooks = typer.Typer(
    help="List the webhooks, add and remove them, and send dead letters again or drop them."
)

Name = Annotated[str, typer.Argument(help="the webhook's name, as you choose it")]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="the dead letters, by number; without any: all")
]

SHOWN = 1_000
"""Dead letters of one listing."""


@webhooks.callback(invoke_without_command=True)
def list_webhooks(context: typer.Context) -> None:
    """List the webhooks, add and remove them, and send dead letters again or drop them."""
    if context.invoked_subcommand:
        return
    with _database() as connection:
        found = kept.listed(connection)
    show(
        {"webhooks": [each._asdict() for each in found]},
        table(
            ["name", "url", "format", "waiting", "dead", "since", "last failure"],
            (
                [*each[:5], _moment(each.oldest_at) if each.oldest_at else None, each.failure]
                for each in found
            ),
            "There is no webhook.",
        ),
    )


@webhooks.command()
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="where to post, as https://siem.example/hook")],
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="cerrojo: as on the topic; ocsf: as OCSF's class Authentication"
        ),
    ] = "cerrojo",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="take http to another machine, too")
    ] = False,
) -> None:
    """Post events there from now on, and print the secret, on stdout. It is shown only now."""
    if format_ not in kept.FORMATS:
        raise CommandUsageError(
            f"--format is {format_!r}, which is none: use {' or '.join(kept.FORMATS)}."
        )
    if not 1 <= len(name) <= kept.LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise CommandUsageError(
            f"{name!r} is no name: use 1 to {kept.LONGEST_NAME} printable characters, and no space "
            "at either end."
        )
    try:
        kept.check_url(url, insecure)
    except ValueError as error:
        raise CommandUsageError(f"{error}.") from None
    with _database() as connection, connection.transaction():
        secret = kept.add(connection, name, url, format_)  # type: ignore[arg-type]
        if secret is None:
            raise CommandError(
                f"There is a webhook {name!r}. Remove that one, or use another name."
            )
        # Before the end of the transaction: it is kept only if it was shown.
        show_secret(kept.shown_secret(secret))
    report(
        "This is the secret by which the receiver checks the signatures, shown only now. Events "
        "are posted there from now on."
    )


@webhooks.command()
def remove(name: Name) -> None:
    """Post nothing there any more. What waits, and its dead letters, are dropped."""
    with _database() as connection:
        if not kept.remove(connection, name):
            raise _unknown(name)
    show({"name": name, "removed": True}, f"The webhook {name} is removed.")


@webhooks.command()
def dead() -> None:
    """List the dead letters: events that a receiver did not take; 1,000 at most."""
    with _database() as connection:
        found = kept.dead_letters(connection, SHOWN + 1)
    if len(found) > SHOWN:
        found = found[:SHOWN]
        report(f"These are the first {SHOWN:,}. There are more.")
    show(
        {"dead": [each._asdict() for each in found]},
        table(
            ["number", "webhook", "event", "given up", "tries", "why"],
            ([*each[:3], _moment(each.dead_at), *each[4:]] for each in found),
            "There is no dead letter.",
        ),
    )


@webhooks.command()
def resend(name: Name, numbers: Numbers = None) -> None:
    """Post dead letters again, before what still waits."""
    with _database() as connection:
        _require(connection, name)
        sent = kept.resend(connection, name, numbers or None)
    show({"name": name, "resent": sent}, f"{sent} dead letters are posted again.")


@webhooks.command()
def drop(name: Name, numbers: Numbers = None) -> None:
    """Forget dead letters, which the receiver will never take. What waits is posted."""
    with _database() as connection:
        _require(connection, name)
        dropped = kept.drop(connection, name, numbers or None)
    show({"name": name, "dropped": dropped}, f"{dropped} dead letters are dropped.")


def _require(connection: Connection[Any], name: str) -> None:
    if not any(each.name == name for each in kept.listed(connection)):
        raise _unknown(name)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _unknown(name: str) -> CommandError:
    return CommandError(
        f"There is no webhook {name!r}. `cerrojo webhooks` lists those that there are."
    )


def _database() -> Connection[Any]:
    url = config.load().require_database()
    return psycopg.connect(url, autocommit=True, **connection_options("webhooks command"))
