"""What other policies would have decided about the attempts in the audit.

`cerrojo whatif --days 30 --policy threshold=3 --policy threshold=10,window=60`
reads the attempts of the last days and decides them by each policy once more, with the workers'
own code. Accounts are divided among processes. All begin with nothing against them, and people do
what they did: what they would have done after another answer, nobody knows.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import msgspec
import psycopg

from events.messages import Policy
from settings import Settings
from sql.connection import connection_options
from workers.commands.errors import CommandError, CommandUsageError
from workers.decision.trial import COLUMNS, DECIDED, Figures, Trial

DAY_MS = 86_400_000

OFFSETS_AT_ONCE = 100_000
"""Of a partition. As many rows are in a process' memory at most, where all are one account's."""

PROCESSES = 2
"""Each has its rows in memory and a connection, and may be in a container beside workers."""

BAR = 40
"""Characters of the longest one."""

PARTS = {
    "threshold": ("threshold", 1),
    "window": ("window_ms", 1_000),
    "block": ("block_ms", 1_000),
    "block-max": ("block_max_ms", 1_000),
    "final": ("final_failures", 1),
    "forget": ("forget_ms", DAY_MS),
    "forget-each": ("forget_each_ms", DAY_MS),
}
"""The parts of a policy as a person says them, with their fields and how many of its units one is.
"repeated" is the other one."""


class Outcome(NamedTuple):
    """What each policy would have come to."""

    attempts: int
    figures: dict[str, Figures]
    """By what the policy was called; first, what the audit has."""

    def __str__(self) -> str:
        """A table and a plot."""
        return f"{self.attempts:,} attempts\n\n{_table(self.figures)}\n\n{_plot(self.figures)}"


def run(
    settings: Settings,
    policies: Mapping[str, Policy],
    from_ms: int,
    processes: int = PROCESSES,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Outcome:
    """Decide the attempts since then by each of these policies, on so many processes.

    ``progress`` is called with the attempts that are done, and how many there are. Raises
    CommandError, ``SettingsError`` or ``psycopg.Error``.
    """
    url = settings.require_database()
    with psycopg.connect(url, **connection_options("whatif")) as database:
        there = _what_is_there(database, from_ms)
    context = multiprocessing.get_context("spawn")
    children, pipes = [], []
    attempts = 0
    figures = {"as it was": there.figures} | dict.fromkeys(policies, Figures())
    try:
        for share in range(processes):
            here, child_end = context.Pipe(duplex=False)
            child = context.Process(
                target=_decide_share,
                args=(child_end, url, from_ms, share, processes, list(policies.values())),
                daemon=True,
            )
            child.start()
            child_end.close()
            children.append(child)
            pipes.append(here)
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Connection)
                try:
                    said = pipe.recv()
                except EOFError:
                    raise CommandError(
                        "A process that decided attempts has ended. Its error is above."
                    ) from None
                if isinstance(said, int):
                    attempts += said
                    progress(attempts, there.attempts)
                else:
                    for name, more in zip(policies, said, strict=True):
                        figures[name] += more
                    pipes.remove(pipe)
    finally:
        for child in children:
            if pipes:
                child.terminate()
            child.join()
    return Outcome(attempts, figures)


def days_ago(days: float) -> int:
    """The time so many days ago, in milliseconds."""
    return round(time.time() * 1000 - days * DAY_MS)


def in_force(settings: Settings) -> Policy:
    """The newest policy that is in force. Raises CommandError, SettingsError or psycopg.Error."""
    with psycopg.connect(settings.require_database(), **connection_options("whatif")) as database:
        row = database.execute(
            "SELECT policy FROM partition_progress WHERE policy IS NOT NULL"
            " ORDER BY (policy->>'version')::int DESC LIMIT 1"
        ).fetchone()
    if row is None:
        raise CommandError("No partition has a policy yet. Start `python -m workers` first.")
    return msgspec.convert(row[0], Policy)


def changed(policy: Policy, text: str) -> Policy:
    """The policy with changes as in "threshold=3,window=60". Raises CommandUsageError."""
    fields: dict[str, object] = msgspec.structs.asdict(policy)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            if name == "repeated":
                fields["repeated_guesses"] = value
            else:
                field, units = PARTS[name]
                fields[field] = round(float(value) * units)
        except (KeyError, ValueError, OverflowError):
            raise CommandUsageError(
                f"--policy has {part!r}. Give NAME=VALUE, where the name is one of "
                f"{', '.join([*PARTS, 'repeated'])}, and the value a number; repeated=ignore."
            ) from None
    try:
        return msgspec.convert(fields, Policy)
    except msgspec.ValidationError as error:
        raise CommandUsageError(f"--policy {text}: {error}.") from None


class _There(NamedTuple):
    attempts: int
    figures: Figures


def _what_is_there(database: psycopg.Connection[Any], from_ms: int) -> _There:
    row = database.execute(
        "SELECT count(*), count(*) FILTER (WHERE change = 1 AND kind = 'attempt'),"
        " count(*) FILTER (WHERE decision = 2 AND right_password),"
        " count(*) FILTER (WHERE decision = 2 AND NOT right_password)"
        f" FROM audit WHERE appended_ms >= %s AND {DECIDED}",
        (from_ms,),
    ).fetchone()
    assert row is not None
    return _There(row[0], Figures(*row[1:]))


def _decide_share(
    pipe: Connection, url: str, from_ms: int, share: int, shares: int, policies: Sequence[Policy]
) -> None:
    """A process: decide the attempts of some of the accounts, and tell how it goes on."""
    with suppress(BrokenPipeError):  # the command was ended
        trials = [Trial(policy) for policy in policies]
        for attempts in _attempts(url, from_ms, share, shares):
            for trial in trials:
                trial.take(attempts)
            pipe.send(len(attempts))
        pipe.send([trial.figures for trial in trials])


def _attempts(url: str, from_ms: int, share: int, shares: int) -> Iterator[list[tuple[Any, ...]]]:
    """The attempts of these accounts in some thousands, each account's in log order.

    An account has one partition in each generation, and a later one in a later generation. Between
    two statements no snapshot is held: retention and vacuum can clean up meanwhile.
    """
    with psycopg.connect(url, autocommit=True, **connection_options("whatif")) as database:
        groups = database.execute(
            "SELECT generation, partition, min(log_offset), max(log_offset) FROM audit"
            " WHERE appended_ms >= %s GROUP BY 1, 2 ORDER BY 1, 2",
            (from_ms,),
        ).fetchall()
        for generation, partition, first, last in groups:
            for offset in range(first, last + 1, OFFSETS_AT_ONCE):
                attempts = database.execute(
                    f"SELECT {COLUMNS} FROM audit"
                    " WHERE partition = %s AND generation = %s AND appended_ms >= %s"
                    " AND log_offset BETWEEN %s AND %s"
                    f" AND {DECIDED} AND (hashtext(username) & 65535) %% %s = %s"
                    " ORDER BY log_offset",
                    (
                        *(partition, generation, from_ms),
                        *(offset, min(offset + OFFSETS_AT_ONCE - 1, last)),
                        *(shares, share),
                    ),
                    prepare=False,  # by the offsets that are asked for
                    binary=True,
                ).fetchall()
                if attempts:
                    yield attempts


def _table(figures: Mapping[str, Figures]) -> str:
    titles = ["policy", "blocks", "owners refused", "guesses saved"]
    rows = [[name, *(f"{value:,}" for value in of)] for name, of in figures.items()]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for first, *others in (titles, *rows):
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _plot(figures: Mapping[str, Figures]) -> str:
    """Bars, one figure after the other."""
    width = max(map(len, figures))
    lines = []
    for field in Figures._fields:
        values = {name: getattr(of, field) for name, of in figures.items()}
        most = max(1, *values.values())
        lines.append(field.replace("_", " "))
        lines += [
            f"  {name.ljust(width)} {'█' * round(BAR * value / most)} {value:,}".rstrip()
            for name, value in values.items()
        ]
    return "\n".join(lines)
