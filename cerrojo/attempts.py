"""`cerrojo attempts`: what the log decided, of one account or of all, also while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlencode

import psycopg
import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.text import Text

from cerrojo import config
from cerrojo.output import in_terminal, show, show_line, table, text
from cerrojo.ports import Port, operator_port
from settings import Settings
from sql.connection import connection_options
from workers.commands.errors import CommandUsageError

LOOK_SECONDS = 0.5
"""Between two looks for new decisions."""

PAGE = 1000
"""The decisions of an account, or of a partition, that one look gets."""

DAY_MS = 86_400_000

COLUMNS = ("at", "kind", "outcome", "verdict", "source", "user_agent")
"""For people; the JSON has everything."""

OF_OPERATORS = ("operator", "reason")
"""Shown beside them where an operator has done something."""

_STYLES = {"accepted": "green", "rejected": "yellow", "blocked": "red"}

_DECISIONS = """
    SELECT to_char(to_timestamp(appended_ms / 1000.0) AT TIME ZONE 'UTC',
                   'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
           d.partition, d.generation, d.log_offset AS "offset", d.kind, d.username AS "user",
           CASE WHEN d.decision > 1 THEN NULL WHEN d.right_password THEN 'right'
                WHEN NOT d.right_password THEN 'wrong' END AS outcome,
           (ARRAY['accepted', 'rejected', 'blocked', 'moved', 'repeated', 'late'])[d.decision + 1]
               AS verdict,
           d.policy_version AS policy, d.source,
           encode(d.device, 'hex') AS device, d.user_agent, encode(d.id, 'hex') AS id,
           d.delayed_ms, d.operator, d.reason
      FROM partition_progress
      LEFT JOIN unnest(%s::int[], %s::int[], %s::bigint[]) AS known (partition, generation, at)
           USING (partition)
     CROSS JOIN LATERAL (
           SELECT * FROM audit
            WHERE audit.partition = partition_progress.partition
              AND (audit.generation, log_offset) >= (coalesce(known.generation, 0), coalesce(at, 0))
              AND appended_ms > %s
            ORDER BY audit.generation, log_offset
            LIMIT %s) d
     ORDER BY d.appended_ms, d.partition, d.generation, d.log_offset
"""
"""What was decided from these positions on. A partition without one is new, and has all shown.
As in GET /attempts, behind a block nothing is revealed."""

Decided = dict[str, Any]


def attempts(
    user: Annotated[str, typer.Argument(help="the account", metavar="[USER]")] = "",
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="go on with what is decided from now on, until Ctrl-C"),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="the most to show")] = 100,
    source: Annotated[str, typer.Option(help="only what came from this IP address")] = "",
    verdict: Annotated[
        str, typer.Option(help="only what was decided so: accepted, rejected, blocked, ...")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="only that of then or later (ISO 8601)")
    ] = "",
    to: Annotated[str, typer.Option(help="only that of before then (ISO 8601)")] = "",
) -> None:
    """Show what was decided, newest first, of an account or of all; with --follow, live.

    Without an account, --follow shows those of all accounts, by Postgres.
    """
    settings = config.load()
    asked = {"source": source, "verdict": verdict, "from": from_, "to": to}
    given = {name: value for name, value in asked.items() if value}
    if not follow:
        found = _of(operator_port(settings), given | ({"user": user} if user else {}), limit)
        names = _columns(found, of_all=not user)
        rows = ([_cell(one, name) for name in names] for one in found)
        show({"attempts": found}, table(names, rows, "Nothing was decided of this kind."))
        return
    if given:
        raise CommandUsageError(f"Leave out --{next(iter(given))}, or --follow.")
    with suppress(KeyboardInterrupt):  # that is how it ends
        _follow(_live_of(operator_port(settings), user, limit) if user else _live(settings))


def _follow(decisions: Iterable[Decided]) -> None:
    console = Console() if in_terminal() else None
    for decided in decisions:
        if console is None:
            show_line(decided)
        else:
            console.print(_line(decided), soft_wrap=True)


def _of(port: Port, asked: Mapping[str, str], limit: int) -> list[Decided]:
    found: list[Decided] = []
    for page in port.pages(f"/attempts?{urlencode({**asked, 'limit': str(limit)})}"):
        found += page["attempts"]  # a page may be short, and yet not the last one
        if len(found) >= limit:
            break
    return found[:limit]


def _live_of(port: Port, user: str, limit: int) -> Iterator[Decided]:
    """The last ones of this account, oldest first, and then each new one."""
    page = _of(port, {"user": user}, PAGE)
    shown = page[:limit]
    while True:
        yield from reversed(shown)
        known = {_position(one) for one in page}
        time.sleep(LOOK_SECONDS)
        page = _of(port, {"user": user}, PAGE)
        shown = [one for one in page if _position(one) not in known]


def _live(settings: Settings) -> Iterator[Decided]:
    """What is decided from now on, of all accounts."""
    options = connection_options("attempts")
    with psycopg.connect(settings.require_database(), autocommit=True, **options) as database:
        rows = database.execute("SELECT partition, generation, next_offset FROM partition_progress")
        at = {partition: (generation, offset) for partition, generation, offset in rows}
        cursor = database.cursor(row_factory=dict_row)
        while True:
            known = [list(at), [g for g, _ in at.values()], [offset for _, offset in at.values()]]
            # Older days of the audit need not be looked at.
            since_ms = round(time.time() * 1000) - DAY_MS
            for decided in cursor.execute(_DECISIONS, (*known, since_ms, PAGE)):
                partition, generation, offset = _position(decided)
                at[partition] = max(at.get(partition, (0, 0)), (generation, offset + 1))
                yield decided
            time.sleep(LOOK_SECONDS)


def _position(decided: Decided) -> tuple[int, int, int]:
    return decided["partition"], decided["generation"], decided["offset"]


def _columns(found: Iterable[Decided], of_all: bool) -> tuple[str, ...]:
    first, *rest = COLUMNS
    names = (first, "user", *rest) if of_all else COLUMNS
    return (*names, *OF_OPERATORS) if any(one["operator"] for one in found) else names


def _cell(decided: Decided, name: str) -> object:
    value = decided[name]
    return text(value, style=_STYLES.get(value, "")) if name == "verdict" else value


def _line(decided: Decided) -> Text:
    cells = (_cell(decided, name) for name in _columns([decided], of_all=True))
    return Text("  ").join(cell if isinstance(cell, Text) else text(cell) for cell in cells)
