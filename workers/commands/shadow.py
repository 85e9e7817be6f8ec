"""A shadow policy: one that is tried beside the policy in force, and decides nothing.

Postgres has it, and since when it is tried. What it would have decided since then follows from the
audit, which is what the log has come to; so the trial costs no login anything, and goes on
whatever is restarted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from events.messages import Policy
from settings import Settings
from sql.connection import connection_options
from workers.commands import change_policy, whatif
from workers.commands.change_policy import InForce
from workers.commands.errors import CommandError

SHADOW, IN_FORCE = "shadow", "in force"
"""What the two are called in an outcome."""


class Shadow(Struct):
    """The policy that is tried."""

    policy: Policy
    """Its version is that of the policy which it was made from."""
    since_ms: int

    def __str__(self) -> str:
        """The same for people."""
        since = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        return f"Tried since {since:%Y-%m-%d %H:%M} UTC. {change_policy.describe(self.policy)}"


def begin(settings: Settings, changes: str) -> Shadow:
    """Try the policy in force with these changes, as in "threshold=3,window=60", from now on.

    What was tried before ends. Raises CommandError, CommandUsageError, SettingsError or
    ``psycopg.Error``.
    """
    policy = whatif.changed(whatif.in_force(settings), changes)
    row = _execute(
        settings,
        "INSERT INTO shadow_policy (policy, since_ms)"
        " VALUES (%s, extract(epoch FROM now()) * 1000)"
        " ON CONFLICT (one) DO UPDATE SET policy = excluded.policy, since_ms = excluded.since_ms,"
        "    figures = NULL"
        " RETURNING since_ms",
        Jsonb(msgspec.to_builtins(policy)),
    )
    assert row is not None
    return Shadow(policy, row[0])


def tried(settings: Settings) -> Shadow:
    """What is tried now. Raises CommandError, also where nothing is; else as :func:`begin`."""
    row = _execute(settings, "SELECT policy, since_ms FROM shadow_policy")
    if row is None:
        raise CommandError(
            "No policy is tried. `cerrojo shadow begin threshold=3` tries one from now on."
        )
    return Shadow(msgspec.convert(row[0], Policy), row[1])


def compare(
    settings: Settings,
    shadow: Shadow,
    processes: int = whatif.PROCESSES,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> whatif.Outcome:
    """What it would have decided since then, and what the policy in force now would have.

    As :func:`whatif.run`, which has the arguments.
    """
    policies = {IN_FORCE: whatif.in_force(settings), SHADOW: shadow.policy}
    return whatif.run(settings, policies, shadow.since_ms, processes, progress)


def promote(settings: Settings, reason: str | None = None) -> InForce:
    """Put what is tried into the log of every partition, and end the trial.

    As :func:`change_policy.run` with the policy's values, made from the policy that was in force at
    its begin; where that raises, the trial goes on.
    """
    changes = msgspec.structs.asdict(tried(settings).policy)
    made_from = changes.pop("version")
    done = change_policy.run(settings, changes, reason, made_from)
    end(settings)
    return done


def end(settings: Settings) -> None:
    """Try nothing any more. Raises as :func:`begin`."""
    _execute(settings, "DELETE FROM shadow_policy RETURNING one")


def _execute(settings: Settings, statement: str, *values: object) -> tuple[Any, ...] | None:
    url = settings.require_database()
    with psycopg.connect(url, **connection_options("shadow")) as database:
        return database.execute(statement, values or None).fetchone()
