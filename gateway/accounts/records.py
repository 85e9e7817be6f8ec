"""From the lines of a file to accounts.

A line is an account: neither a name nor a hash has a line break in it. So a bad line is bad alone,
and memory is needed for one line, whatever a file is like.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any, NamedTuple

import msgspec

from gateway.accounts import keycloak
from gateway.accounts.errors import AccountFileError, BadRecordError
from gateway.errors import InvalidInputError
from gateway.passwords import precis
from gateway.passwords.hash_formats import Argon2, UnusableHashError, parse
from gateway.passwords.pepper import Stored

LINE_MAX = 65_536
"""Bytes of a line, more than any account has; the rest of a longer one is passed over."""

COLUMNS = ("user", "hash", "disabled", "registered_at")
KEYCLOAK_COLUMNS = ("credentialData", "secretData")

_BOM, _UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "1"), True),
    **dict.fromkeys(("false", "f", "no", "0"), False),
}


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


class Record(NamedTuple):
    """An account as it is to be stored."""

    line: int
    user: str
    password_hash: str
    disabled: bool | None
    """None: as the account is that is there, else not."""
    registered_at: datetime | None
    """None: now."""


class BadLine(NamedTuple):
    """A line that gives no account."""

    line: int
    user: str
    """The name as the line has it; "" where it could not be read. Nothing else is kept of a line,
    as a hash, or a password in the wrong column, is not to stand in a report."""
    reason: str


def read(file: IO[bytes], format_: Format | None, own_form: str = "") -> Iterator[Record | BadLine]:
    """The lines of a file; an empty one is nothing. None: the format that its first line shows.

    Hashes of `own_form`, as they are made here, are not bound to what others may cost.
    Raises AccountFileError where the file as a whole cannot be read.
    """
    lines = _lines(file)
    for number, first in lines:
        if number == 1 and first.startswith(_UTF_16):
            raise AccountFileError("The file is in UTF-16; save it in UTF-8.")
        if not first.strip():
            continue
        if format_ is None:
            format_ = Format.NDJSON if first.lstrip().startswith(b"{") else Format.CSV
        if format_ is Format.NDJSON:
            yield _record(number, first, _of_json, own_form)
            parser = _of_json
        else:
            parser = _CsvParser(first).parse
        break
    else:
        return
    for number, line in lines:
        if line.strip():
            yield _record(number, line, parser, own_form)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, cut off behind LINE_MAX."""
    number = 0
    while line := file.readline(LINE_MAX + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        cut = line
        while len(cut) > LINE_MAX and not cut.endswith(b"\n"):
            cut = file.readline(LINE_MAX + 1)
        yield number, line


class _Fields(NamedTuple):
    """What a line says of an account, as it stands there."""

    user: str
    hash: str
    disabled: bool | None
    registered_at: datetime | None


def _record(number: int, line: bytes, parse_line: Any, own_form: str) -> Record | BadLine:
    user = ""
    try:
        if len(line) > LINE_MAX:
            raise BadRecordError(f"The line has more than {LINE_MAX:,} bytes.")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise BadRecordError(f"Byte {error.start + 1} of the line is not UTF-8.") from None
        if "\0" in text:
            raise BadRecordError("The line has a NUL in it.")
        fields: _Fields = parse_line(text.rstrip("\r\n"))
        user = fields.user
        name = precis.username(user)
        stored = _stored(fields.hash, own_form)
        return Record(number, name, stored, fields.disabled, fields.registered_at)
    except BadRecordError as error:
        return BadLine(number, error.user, str(error))
    except InvalidInputError as error:
        return BadLine(number, user, f"{error}.")
    except UnusableHashError as error:
        return BadLine(number, user, f"The hash {error}.")


def _stored(text: str, own_form: str) -> str:
    """The hash as accounts have it. Raises UnusableHashError."""
    given = Stored.of(text)
    found = parse(given.bare, own_form)
    if given.key is not None and not isinstance(found, Argon2):
        raise UnusableHashError("has a pepper, and is none of Argon2")
    return given._replace(bare=found.stored).text


class _CsvParser:
    """Lines of a CSV with this header."""

    def __init__(self, header: bytes) -> None:
        try:
            names = [name.strip() for name in _cells(header.decode().rstrip("\r\n"))]
        except (UnicodeDecodeError, csv.Error, StopIteration):
            raise AccountFileError("The first line is no header of a CSV in UTF-8.") from None
        known = (*COLUMNS, *KEYCLOAK_COLUMNS)
        by_keycloak = {*KEYCLOAK_COLUMNS} <= {*names}
        if "user" not in names or ("hash" in names) == by_keycloak:
            raise AccountFileError(
                "The first line must name the columns, separated by commas: user and hash, or "
                "user, credentialData and secretData; disabled and registered_at may be there, too."
            )
        # One that is misspelled would not disable an account.
        if foreign := [name for name in names if name not in known]:
            raise AccountFileError(
                f"The first line has a column {foreign[0]!r}; there are {', '.join(known)}."
            )
        if len(names) != len({*names}):
            raise AccountFileError("The first line has a column twice.")
        self._names = names

    def parse(self, line: str) -> _Fields:
        """The fields of a line."""
        try:
            cells = _cells(line)
        except csv.Error as error:
            raise BadRecordError(f"The line is no CSV: {error}.") from None
        if len(cells) != len(self._names):
            raise BadRecordError(
                f"The line has {len(cells)} columns, and the first line {len(self._names)}; a hash "
                "with commas has to be in double quotes."
            )
        values = dict(zip(self._names, cells, strict=True))
        user = values["user"]
        if "hash" not in values:
            values["hash"] = keycloak.stored(user, values["credentialData"], values["secretData"])
        flag = values.get("disabled", "").lower()
        disabled = _FLAGS.get(flag)
        if flag and disabled is None:
            raise BadRecordError("disabled must be true or false.", user)
        registered_at = _moment(user, values.get("registered_at") or None)
        return _Fields(user, values["hash"], disabled, registered_at)


def _cells(line: str) -> list[str]:
    return next(csv.reader((line,), strict=True)) if '"' in line else line.split(",")


class _JsonAccount(msgspec.Struct, forbid_unknown_fields=True):
    """As :mod:`gateway.accounts.exporting` writes it, or with what Keycloak's tables have."""

    user: str
    hash: str | None = None
    disabled: bool | None = None
    registered_at: str | None = None
    credentialData: str | None = None  # noqa: N815  # Keycloak's own name
    secretData: str | None = None  # noqa: N815


class _Named(msgspec.Struct):
    """What only Keycloak's own export has of these fields."""

    username: object = None


_account = msgspec.json.Decoder(_JsonAccount)
_named = msgspec.json.Decoder(_Named)


def _of_json(line: str) -> _Fields:
    try:
        # It may also be somebody's name; most lines are not read twice.
        if '"username"' in line and _named.decode(line).username is not None:
            return _of_keycloak(keycloak.exported(line))
        found = _account.decode(line)
    except msgspec.DecodeError as error:
        # Its text names fields and types, and no value but a field's name.
        raise BadRecordError(f"The line is no account in JSON: {error}.") from None
    except RecursionError:
        raise BadRecordError("The line is no account in JSON: it is nested too deeply.") from None
    text = found.hash
    if text is None:
        if found.credentialData is None or found.secretData is None:
            raise BadRecordError("The line has no hash.", found.user)
        text = keycloak.stored(found.user, found.credentialData, found.secretData)
    return _Fields(found.user, text, found.disabled, _moment(found.user, found.registered_at))


def _of_keycloak(found: keycloak.User) -> _Fields:
    registered_at = None
    if found.created_ms is not None:
        registered_at = _bounded(found.user, datetime.fromtimestamp(found.created_ms / 1000, UTC))
    return _Fields(found.user, found.hash, not found.enabled, registered_at)


def _moment(user: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecordError(
            "registered_at must be a time as in 2024-02-29T12:00:00Z.", user
        ) from None
    return _bounded(user, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _bounded(user: str, moment: datetime) -> datetime:
    if not 1970 <= moment.year < 3000:
        raise BadRecordError("registered_at is before 1970 or after 2999.", user)
    return moment
