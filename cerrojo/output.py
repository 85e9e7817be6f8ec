"""What a command says: for people in a terminal, as JSON in a pipe."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from processes.escapes import escaped
from workers.commands.errors import CommandError


def in_terminal() -> bool:
    """Whether a person reads what is said."""
    return sys.stdout.isatty()


def show(value: object, people: RenderableType) -> None:
    """This value as one document of JSON; in a terminal what is for people.

    Raises CommandError where stdout cannot be written, as `show_line`.
    """
    if in_terminal():
        people = text(people, keep="\n") if isinstance(people, str) else people
        with _written("What was changed before stays so"):
            Console().print(people, soft_wrap=isinstance(people, Text))
    else:
        show_line(value)


def show_line(value: object) -> None:
    """This value as a line of JSON, at once."""
    with _written("What was changed before stays so"):
        print(msgspec.json.encode(value).decode(), flush=True)


def show_secret(secret: str) -> None:
    """What is shown once, as it is. To be called before what it is for is made.

    Raises CommandError where stdout cannot be written.
    """
    with _written("Nothing is changed, and what was made is worth nothing", gone=True):
        print(secret, flush=True)


@contextmanager
def _written(otherwise: str, gone: bool = False) -> Iterator[None]:
    """Raise CommandError, with this sentence, where stdout cannot be written.

    A pipe whose reader has gone is left to typer, which says nothing, unless that is ``gone``.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE and not gone:
            raise
        with suppress(OSError):  # or Python writes at its end what could not be written
            sys.stdout.close()
        raise CommandError(f"stdout cannot be written: {error.strerror}. {otherwise}.") from None


def report(sentence: str) -> None:
    """Say something on stderr, past what goes into a pipe."""
    print(escaped(sentence, keep="\n"), file=sys.stderr)


def text(value: object, keep: str = "", style: str = "") -> Text:
    """A text of others as a terminal may have it; `-` for None."""
    return Text("-" if value is None else escaped(str(value), keep), style)


def table(columns: Iterable[str], rows: Iterable[Iterable[object]], empty: str) -> RenderableType:
    """The rows below these headings; without any, a sentence. Numbers stand to the right."""
    lines = [list(row) for row in rows]
    if not lines:
        return Text(empty)
    found = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        right = all(isinstance(row[number], int | None) for row in lines)
        found.add_column(
            name,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=name in ("at", "since", "until"),
        )
    for row in lines:
        found.add_row(*(cell if isinstance(cell, Text) else text(cell) for cell in row))
    return found


@contextmanager
def progress(what: str, *columns: TextColumn) -> Iterator[Progress]:
    """A bar on stderr while something takes long; nothing where that is no terminal."""
    console = Console(stderr=True)
    counted = columns or (MofNCompleteColumn(),)
    with Progress(
        TextColumn(what),
        BarColumn(),
        *counted,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield bar
