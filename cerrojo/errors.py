"""Where the errors of all commands become a sentence and an exit code.

0: it is done; 1: it failed; 2: the command cannot be used so.
"""

from __future__ import annotations

from typing import Any

import psycopg
import typer
from confluent_kafka import KafkaException
from typer.core import TyperGroup

from cerrojo.output import report
from events.clients import reason
from gateway.accounts.errors import AccountFileError
from settings import SettingsError
from workers.commands.errors import CommandError, CommandUsageError

FAILED = 1
USAGE = 2
STOPPED = 130
"""As a shell says that Ctrl-C ended a program."""

_OUTDATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)


class Commands(TyperGroup):
    """The commands. What one of them raises is said on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run one. Raises typer's Exit with the code."""
        try:
            return super().invoke(ctx)
        except CommandUsageError as error:
            sentence, code = str(error), USAGE
        except (CommandError, SettingsError, AccountFileError) as error:
            sentence, code = str(error), FAILED
        except psycopg.Error as error:
            sentence, code = of_database(error), FAILED
        except KafkaException as error:
            sentence, code = f"Kafka failed: {reason(error).rstrip('.')}. Try again.", FAILED
        except UnicodeError:
            sentence, code = "What was given is no text in UTF-8. Nothing is done with it.", FAILED
        except KeyboardInterrupt:
            sentence, code = "Stopped.", STOPPED
        report(sentence)
        raise typer.Exit(code)


def of_database(error: psycopg.Error, role: str = "", again: str = "") -> str:
    """What the database's error means, and what to do; `again` is what stands there of itself."""
    said = str(error).strip()
    if isinstance(error, _OUTDATED):
        way_out = f"the schema is not up to date: {said}\n`python -m sql` brings it up to date."
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        who = f"the role {role!r}" if role else "its role"
        way_out = f"{who} lacks a right: {said}\nGrant it, or name the tables' owner."
    else:
        way_out = f"the database failed: {said}" + (f"\n{again}" if again else "")
    return f"DATABASE_URL: {way_out}"
