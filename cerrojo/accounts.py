"""`cerrojo accounts`: single ones by the operator port, many by a file and Postgres."""

from __future__ import annotations

import contextlib
import csv
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, TextIO

import psycopg
import typer
from rich.progress import TextColumn

from cerrojo import config
from cerrojo.errors import of_database
from cerrojo.output import progress, report, show, table
from cerrojo.ports import operator_port, path
from gateway.accounts import exporting, importing
from gateway.accounts.records import BadLine, Format, read
from gateway.passwords.hash_formats import present_form
from sql.connection import connection_options
from workers.commands.errors import CommandError, CommandUsageError

SHOWN = 20
"""Lines that are refused or kept and are shown where no report is asked for."""

DONE_BUT_REFUSED = 3
"""The exit code of an import that is done, but for the lines that were refused."""

accounts = typer.Typer(
    no_args_is_help=True, help="Make, look at, disable and delete accounts, or import and export."
)

User = Annotated[str, typer.Argument(help="the account's name")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


@accounts.command("show")
def show_account(user: User) -> None:
    """Say since when there is an account, and whether it is disabled."""
    found = _ask("GET", user)
    rows = [[found["user"], found["registered"], "yes" if found["disabled"] else "no"]]
    show(found, table(["user", "registered", "disabled"], rows, ""))


@accounts.command()
def create(user: User, reason: config.Reason = "") -> None:
    """Make an account. Its password is asked for; in a pipe it is the first line of stdin."""
    answer = operator_port(config.load()).ask(
        "POST", "/accounts", {"user": user, "pass": _password(), **_why(reason)}
    )
    show({"user": user, **answer}, f"{user} has an account.")


@accounts.command()
def reset(user: User, reason: config.Reason = "") -> None:
    """Give an account another password, asked for as by create, and lift what stands against it."""
    answer = _ask("PUT", user, "password", body={"pass": _password(), **_why(reason)})
    show({"user": user, **answer}, f"{user} has another password, and nothing against the account.")


@accounts.command()
def disable(user: User, reason: config.Reason = "") -> None:
    """Let nobody log in to an account. Each login is answered as with a wrong password."""
    answer = _ask("PATCH", user, body={"disabled": True, **_why(reason)})
    show({"user": user, **answer}, f"{user} is disabled.")


@accounts.command()
def enable(user: User, reason: config.Reason = "") -> None:
    """Let people log in to an account again."""
    answer = _ask("PATCH", user, body={"disabled": False, **_why(reason)})
    show({"user": user, **answer}, f"{user} is enabled.")


@accounts.command("forget-devices")
def forget_devices(user: User, reason: config.Reason = "") -> None:
    """Know none of an account's devices any more, and end its sessions."""
    answer = _ask("DELETE", user, "devices", body=_why(reason) or None)
    show({"user": user, **answer}, f"No device of {user} is known, and no session goes on.")


@accounts.command()
def delete(user: User, yes: Yes = False, reason: config.Reason = "") -> None:
    """Delete an account, what stands against its name, and the name in all decisions."""
    if not yes:
        if not sys.stdin.isatty():
            raise CommandUsageError(
                "A deletion cannot be undone. Give --yes where nobody is asked."
            )
        typer.confirm(f"Delete {user!r} for ever?", abort=True, err=True)
    answer = _ask("DELETE", user, body=_why(reason) or None)
    there = "" if answer["deleted"] else " There was no such account."
    show({"user": user, **answer}, f"Nothing is kept of {user}.{there}")


def _ask(method: str, *names: str, body: object = None) -> Any:
    return operator_port(config.load()).ask(method, path("accounts", *names), body)


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def _password() -> str:
    """As somebody types it twice, or of stdin. It is never an argument, which all may see."""
    if sys.stdin.isatty():
        typed: str = typer.prompt(
            "Password", hide_input=True, confirmation_prompt="Once more", err=True
        )
        return typed
    return sys.stdin.readline().rstrip("\n")


@accounts.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="its path; - for standard input")],
    format_: Annotated[
        Format | None, typer.Option("--format", help="of the file; else by its first line")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="replace accounts that are there already")
    ] = False,
    report_: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="write what was refused or kept, and why, as CSV"
        ),
    ] = None,
) -> None:
    """Make accounts of the lines of a file, with their hashes.

    Exit code 3: it is done, but for the lines that were refused.
    """
    settings = config.load()
    own_form = present_form(
        settings.argon2_memory_kib, settings.argon2_time_cost, settings.argon2_parallelism
    )
    if report_ and report_.exists() and os.path.exists(file) and os.path.samefile(file, report_):
        raise CommandError(f"--report is {file}, which is to be imported. Name another file.")
    again = "Run the same command again: it goes on where it stopped."
    with (
        _files(file, "The same command goes on where it stopped."),
        _connected(settings.require_database(), again) as connection,
        _reading(file) as lines,
        progress("Importing", TextColumn("{task.fields[lines]:,} lines")) as bar,
        _Report(report_) as refused,
    ):
        task = bar.add_task("", total=_size(lines), lines=0)
        counts = importing.write(
            connection,
            read(lines, format_, own_form),
            refused.add,
            replace=replace,
            after_chunk=lambda counts: bar.update(
                task, completed=_position(lines), lines=counts.lines
            ),
        )
    show(
        {
            "created": counts.created,
            "replaced": counts.replaced,
            "same": counts.same,
            "kept": counts.kept,
            "refused": counts.refused,
        },
        f"{counts.created:,} accounts were made, {counts.replaced:,} replaced, {counts.same:,} "
        f"were there already, {counts.kept:,} were kept, {counts.refused:,} lines were refused.",
    )
    if counts.refused:
        raise typer.Exit(DONE_BUT_REFUSED)


@accounts.command()
def export(
    file: Annotated[str, typer.Argument(help="its path; - for standard output")],
    format_: Annotated[
        Format | None, typer.Option("--format", help="of the file; else by its name, or CSV")
    ] = None,
) -> None:
    """Write all accounts into a file, with their hashes."""
    kind = format_ or (Format.NDJSON if file.endswith((".ndjson", ".jsonl")) else Format.CSV)
    count = 0
    with (
        _files(file, "The export is not complete; begin it anew."),
        _connected(config.load().require_database()) as connection,
        progress("Exporting") as bar,
        _writing(file) as out,
    ):
        task = bar.add_task("", total=_accounts(connection))
        for count in exporting.write(connection, out, kind):
            bar.update(task, completed=count)
    report(f"{count:,} accounts were written.")


@contextlib.contextmanager
def _files(file: str, stopped: str) -> Iterator[None]:
    """Errors of files, and Ctrl-C with how it goes on, as a CommandError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or file}: {error.strerror}") from None
    except KeyboardInterrupt:
        raise CommandError(f"Stopped. {stopped}") from None


@contextlib.contextmanager
def _connected(url: str, again: str = "") -> Iterator[psycopg.Connection[Any]]:
    role = ""
    try:
        with psycopg.connect(url, autocommit=True, **connection_options("accounts")) as connection:
            role = connection.info.user
            yield connection
    except psycopg.Error as error:
        raise CommandError(of_database(error, role, again)) from None


class _Report:
    """The lines that changed nothing: in a file, or the first of them on the terminal."""

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        self._count = 0
        if path is not None:
            self._file = open(_private(path), "w", newline="", encoding="utf-8")  # noqa: SIM115
            self._writer = csv.writer(self._file)
            self._writer.writerow(BadLine._fields)

    def add(self, bad: BadLine) -> None:
        """Another one."""
        self._count += 1
        if self._file is not None:
            self._writer.writerow(bad)
        elif self._count <= SHOWN:
            report(f"line {bad.line}: {bad.user!r}: {bad.reason}")
        elif self._count == SHOWN + 1:
            report("and more, which --report FILE would list")

    def __enter__(self) -> _Report:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _reading(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        yield file


@contextlib.contextmanager
def _writing(path: str) -> Iterator[IO[bytes]]:
    """The file, which has its name once it is whole, and else is not left behind."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    if _takes_all(Path(path)):
        with open(path, "wb") as file:
            yield file
        return
    part = Path(f"{path}.part")
    try:
        with open(_private(part), "wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _private(path: Path) -> int:
    """A new file for its owner only: what is written has hashes in it, or names."""
    if _takes_all(path):
        return os.open(path, os.O_WRONLY)
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _takes_all(path: Path) -> bool:
    """Whether it is a device or a pipe, which takes what is written and stays what it is."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _size(file: IO[bytes]) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _position(file: IO[bytes]) -> int:
    return file.tell() if file.seekable() else 0


def _accounts(connection: psycopg.Connection[Any]) -> int | None:
    """How many there are, about; None: not known."""
    row = connection.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = 'accounts'::regclass"
    ).fetchone()
    return row[0] if row and row[0] > 0 else None
