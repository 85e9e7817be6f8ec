"""`cerrojo operators`: who may ask the operator port for what; by Postgres.

A new token is printed as it is, in a pipe, too.
"""

from __future__ import annotations

from typing import Annotated, Any

import psycopg
import typer
from psycopg import Connection

from cerrojo import config
from cerrojo.output import report, show, show_secret, table
from gateway import operators as domain
from gateway.operators import Role
from gateway.postgres.operator_tokens import add_token, list_tokens, revoke_token
from sql.connection import connection_options
from workers.commands.errors import CommandError, CommandUsageError

operators = typer.Typer(help="List the operators, or make and revoke their tokens.")

Name = Annotated[str, typer.Argument(help="who has the token, as the audit names them")]


@operators.callback(invoke_without_command=True)
def list_operators(context: typer.Context) -> None:
    """List the operators, or make and revoke their tokens."""
    if context.invoked_subcommand:
        return
    with _database() as connection:
        found = list_tokens(connection)
    rows = [
        {
            "name": each.name,
            "role": each.role,
            "expires": f"{each.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            "revoked": each.revoked_at is not None,
            "valid": each.valid,
        }
        for each in found
    ]
    states = ("valid" if e.valid else "revoked" if e.revoked_at else "expired" for e in found)
    show(
        {"operators": rows},
        table(
            ["name", "role", "expires", "state"],
            (
                [row["name"], row["role"], row["expires"], state]
                for row, state in zip(rows, states, strict=True)
            ),
            "Nobody has an operator's token.",
        ),
    )


@operators.command()
def add(
    name: Name,
    role: Annotated[
        Role,
        typer.Option(
            help="read sees everything; operate also lifts blocks, disables accounts and forgets "
            "devices; administer also makes and deletes accounts and sets passwords"
        ),
    ] = Role.READ,
    days: Annotated[int, typer.Option(min=1, max=3650, help="until it expires")] = 90,
    replace: Annotated[
        bool, typer.Option("--replace", help="end a token of this name that is valid still")
    ] = False,
) -> None:
    """Print a new token, on stdout. It is shown only now."""
    try:
        domain.check_name(name)
    except ValueError as error:
        raise CommandUsageError(f"{error}.") from None
    token = domain.new_token()
    with _database() as connection, connection.transaction():
        if not add_token(connection, name, role, domain.digest_of(token.encode()), days, replace):
            raise CommandError(
                f"{name} has a valid token. Give --replace to end that one, or use another name."
            )
        show_secret(token)  # before the end of the transaction: it is kept only if it was shown
    report(
        f"This is the token of {name}, shown only now: it may {role} for {days} days. Put it into "
        f"a file that only its owner can read, and set CERROJO_OPERATOR_TOKEN_FILE to that, or "
        "paste it into the console."
    )


@operators.command()
def revoke(name: Name) -> None:
    """End a token, with the next request."""
    with _database() as connection:
        if not revoke_token(connection, name):
            raise CommandError(
                f"There is no operator {name!r}. `cerrojo operators` lists those that there are."
            )
    show({"name": name, "revoked": True}, f"The token of {name} is revoked.")


def _database() -> Connection[Any]:
    url = config.load().require_database()
    return psycopg.connect(url, autocommit=True, **connection_options("operators"))
