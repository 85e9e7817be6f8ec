"""The command `cerrojo`; `python -m cerrojo` is the same."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from cerrojo.errors import Commands
from processes.logs import configure
from version import describe

MODULES = {
    "blocked": "blocks",
    "block": "blocks",
    "unblock": "blocks",
    "attempts": "attempts",
    "attacks": "blocks",
    "verify": "audit",
    "whatif": "audit",
    "partitions": "log",
    "resize": "log",
    "doctor": "doctor",
    "policy": "log",
    "shadow": "audit",
    "quarantine": "log",
    "accounts": "accounts",
    "keys": "keys",
    "tokens": "keys",
    "operators": "operators",
    "webhooks": "webhooks",
}
"""The commands, in the order of the help, and the module of each, which has it by its name."""


def application(*names: str) -> typer.Typer:
    """The command with these of its commands, else with all.

    Only their modules are imported: all of them together are a third of the start of one.
    """
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        # An exception's own lines: a box around them would show values of variables, as passwords.
        pretty_exceptions_enable=False,
    )
    app.callback()(cerrojo)
    for name in names or MODULES:
        command = getattr(import_module(f"cerrojo.{MODULES[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command()(command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(describe())
        raise typer.Exit


def cerrojo(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="say which Cerrojo this is", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Look at Cerrojo and change what it does: tables in a terminal, JSON in a pipe.

    Exit codes: 0: done; 1: it failed, and stderr has the reason; 2: the command cannot be used so.
    """
    configure("warning")


def main() -> None:
    """Run the command of the command line, and exit."""
    application(*(word for word in sys.argv[1:2] if word in MODULES))(prog_name="cerrojo")


if __name__ == "__main__":
    main()
