"""The command `cerrojo`; `python -m cerrojo` is the same."""

from __future__ import annotations

from typing import Annotated

import typer

from cerrojo import attempts, audit, blocks, doctor, log
from cerrojo.accounts import accounts
from cerrojo.errors import Commands
from cerrojo.keys import keys, tokens
from cerrojo.operators import operators
from cerrojo.webhooks import webhooks
from processes.logs import configure
from version import describe

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # An exception's own lines: a box around them would show values of variables, as passwords.
    pretty_exceptions_enable=False,
)
for command in (
    *(blocks.blocked, blocks.block, blocks.unblock, attempts.attempts, blocks.attacks),
    *(audit.verify, audit.whatif, log.partitions, log.resize, doctor.doctor),
):
    app.command()(command)
app.add_typer(log.policy, name="policy")
app.add_typer(audit.shadow, name="shadow")
app.add_typer(log.quarantine, name="quarantine")
app.add_typer(accounts, name="accounts")
app.add_typer(keys, name="keys")
app.add_typer(tokens, name="tokens")
app.add_typer(operators, name="operators")
app.add_typer(webhooks, name="webhooks")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(describe())
        raise typer.Exit


@app.callback()
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
    app(prog_name="cerrojo")


if __name__ == "__main__":
    main()
