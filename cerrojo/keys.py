"""`cerrojo keys` and `tokens`: files for the gateways and the workers.

What goes into a file as it is (a token, the line of a pepper) is printed so, in a pipe, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Group

from cerrojo.output import report, show, show_secret, table
from events import signing_keys
from gateway import device_keys, guess_keys, session_keys
from gateway import tokens as service_tokens
from gateway.passwords import pepper as peppers
from gateway.tokens import Scope
from workers.commands.errors import CommandError, CommandUsageError

Keys = TypeVar("Keys")

keys = typer.Typer(
    no_args_is_help=True, help="Make and replace the keys of sessions, devices, records and others."
)
session = typer.Typer(no_args_is_help=True, help="The keys that sign sessions.")
device = typer.Typer(no_args_is_help=True, help="The keys that sign device cookies.")
signing = typer.Typer(no_args_is_help=True, help="The keys that sign records in Kafka.")
for _name, _group in (("session", session), ("device", device), ("signing", signing)):
    keys.add_typer(_group, name=_name)
tokens = typer.Typer(
    no_args_is_help=True, help="Make and list the tokens with which services ask for verdicts."
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="as the gateways' setting names it")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help=f"as in {signing_keys.SETTING}")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="the id of the key")]


@contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """What went wrong, as a CommandError that says that nothing has changed.

    For the change alone: what fails afterwards has another sentence.
    """
    with _sentence(f"{path} stays as it is"):
        yield


@contextmanager
def _sentence(beginning: str) -> Iterator[None]:
    """What went wrong, as a CommandError that begins so."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{beginning}: {reason}.") from None
    except signing_keys.PartlyWrittenError as error:
        raise CommandError(f"{error}.") from None


def _file_of_keys(
    group: typer.Typer,
    new: Callable[..., Keys],
    sign: Callable[[Path, str], Keys],
    drop: Callable[[Path, str], Keys],
    ids: Callable[[Keys], Iterable[str]],
) -> None:
    """The commands for a file whose first key signs, and all of whose keys verify."""

    def say(file: Path, found: Keys) -> None:
        signs, *others = ids(found)
        also = f"; these verify, too: {' '.join(others)}" if others else ""
        value = {"file": str(file), "signs": signs, "verify": others}
        show(value, f"{file}: {signs} signs{also}")

    @group.command("new-key")
    def new_key(
        file: File,
        last: Annotated[bool, typer.Option("--last", help="it only verifies for now")] = False,
    ) -> None:
        """Add a key that signs from now on, or make the file."""
        with _unchanged(file):
            found = new(file, last=last)
        say(file, found)

    @group.command("sign-with")
    def sign_with(file: File, key: KeyId) -> None:
        """Let a key of the file sign from now on."""
        with _unchanged(file):
            found = sign(file, key)
        say(file, found)

    @group.command("drop-key")
    def drop_key(file: File, key: KeyId) -> None:
        """Remove a key, and end what it has signed."""
        with _unchanged(file):
            found = drop(file, key)
        say(file, found)


_file_of_keys(
    session,
    session_keys.new_key,
    session_keys.sign_with,
    session_keys.drop_key,
    lambda found: found.verifying,
)
_file_of_keys(
    device,
    device_keys.new_key,
    device_keys.sign_with,
    device_keys.drop_key,
    lambda found: (key_id.hex() for key_id in found),
)


def _show_signing(folder: Path) -> None:
    """All files that are there: a gateways' host has no workers.json, and copies may differ."""
    in_files: dict[tuple[str, str, str, int | None], list[str]] = {}
    with _sentence(f"{folder} cannot be read"):
        files = signing_keys.keys_of_files(folder)
        allowed = bool(signing_keys.granted(folder, "operator"))
    for name, found in files.items():
        signing = set()
        for key in found:
            state = "retired" if key.until_ms else "checked by" if key.role in signing else "signs"
            signing |= {key.role} if state == "signs" else set()
            in_files.setdefault((key.id, key.role, state, key.until_ms or None), []).append(name)
    columns = ("id", "role", "state", "retired_ms", "files")
    rows = [dict(zip(columns, (*key, names), strict=True)) for key, names in in_files.items()]
    shown = [(*key, " ".join(names)) for key, names in in_files.items()]
    told = ["The operator port may change the policy."] if allowed else []
    show(
        {"keys": rows, "operator_port_signs_policies": allowed},
        Group(table(columns, shown, "There are no keys."), *told),
    )


@signing.command()
def make(folder: Folder) -> None:
    """Make a key of each role, and the files of all parts."""
    with _unchanged(folder):
        signing_keys.make(folder)
    _show_signing(folder)


@signing.command("new-key")
def new_signing_key(
    role: Annotated[signing_keys.Role, typer.Argument(help="what it may sign")], folder: Folder
) -> None:
    """Add a key that is only checked by for now."""
    with _unchanged(folder):
        signing_keys.new_key(folder, role)
    _show_signing(folder)


@signing.command("sign-with")
def sign_records_with(key: KeyId, folder: Folder) -> None:
    """Let a key sign from now on."""
    with _unchanged(folder):
        signing_keys.sign_with(folder, key)
    _show_signing(folder)


@signing.command()
def retire(key: KeyId, folder: Folder) -> None:
    """Believe nothing by a key that the log gets later."""
    with _unchanged(folder):
        signing_keys.retire(folder, key, round(time.time() * 1000))
    _show_signing(folder)


@signing.command("drop-key")
def drop_signing_key(key: KeyId, folder: Folder) -> None:
    """Forget a key."""
    with _unchanged(folder):
        signing_keys.drop_key(folder, key)
    _show_signing(folder)


@signing.command("allow-policy")
def allow_policy(folder: Folder) -> None:
    """Give the operator port the keys that sign policies, so that it can change the policy."""
    with _unchanged(folder):
        signing_keys.grant(folder, "operator", "policy")
    _show_signing(folder)


@signing.command("deny-policy")
def deny_policy(folder: Folder) -> None:
    """Take these keys out of the operator port's file again."""
    with _unchanged(folder):
        signing_keys.withdraw(folder, "operator")
    _show_signing(folder)


@signing.command("show")
def show_signing_keys(folder: Folder) -> None:
    """List the keys, without their secrets."""
    _show_signing(folder)


@keys.command()
def guess(
    file: File,
    period: Annotated[
        int,
        typer.Option(
            min=60, max=86_400, help="seconds for which a key makes guesses: the policy's window"
        ),
    ] = guess_keys.PERIOD_SECONDS,
) -> None:
    """Make a file of keys by which a wrong password is known again."""
    with _unchanged(file):
        guess_keys.make(file, period, time.time())
    show({"file": str(file)}, f"{file} is made: a copy of it is for every gateway")


@keys.command()
def pepper(
    name: Annotated[str, typer.Argument(help="what stored hashes call it, as 2026 or a")],
) -> None:
    """Print a new key that passwords are mixed with, as a line for the file of peppers."""
    try:
        line = peppers.new_line(name)
    except ValueError as error:
        raise CommandUsageError(f"{error}.") from None
    show_secret(line)


@tokens.command("new")
def new_token(
    name: Annotated[str, typer.Argument(help="of the service that gets it")],
    scopes: Annotated[
        str,
        typer.Option(
            help=f"what it is for, of {','.join(Scope)}: to ask whether an account is blocked, "
            "which changes nothing; to report attempts, which a login needs, and by which any "
            "account can be blocked and any count cleared"
        ),
    ] = Scope.BLOCK.value,
) -> None:
    """Print a new token, on stdout, and the line for the file of tokens, on stderr."""
    known = service_tokens.scopes_of(scopes)
    if known is None:
        raise CommandUsageError(
            f"--scopes is {scopes!r}: use some of {','.join(Scope)}, with commas between."
        )
    try:
        made = service_tokens.new_token(name, known)
    except ValueError as error:
        raise CommandUsageError(f"{error}.") from None
    show_secret(made.token)
    report(
        f"This is the token of {name}, shown only now. Add this line to the file in "
        f"{service_tokens.SETTING}:\n{made.line}"
    )


@tokens.command("list")
def list_tokens(file: File) -> None:
    """List the services whose tokens are in a file, and what these are for."""
    with _sentence(f"{file} cannot be read"):
        found = service_tokens.parse(file.read_bytes())
    rows = [(token.service, sorted(token.scopes)) for token in found]
    show(
        {"tokens": [{"service": service, "scopes": scopes} for service, scopes in rows]},
        table(
            ["service", "scopes"],
            ((service, ",".join(scopes)) for service, scopes in rows),
            "The file has no token.",
        ),
    )
