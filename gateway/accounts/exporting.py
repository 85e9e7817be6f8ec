"""Writes all accounts to a file that :mod:`gateway.accounts.records` reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import msgspec
import psycopg

from gateway.accounts.records import COLUMNS, Format

ROWS = 10_000  # of one answer of Postgres

_ACCOUNTS = """
    SELECT username, password_hash, disabled,
           to_char(registered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      FROM accounts ORDER BY username
"""


def write(connection: psycopg.Connection[Any], file: IO[bytes], format_: Format) -> Iterator[int]:
    """Write the accounts as they are at one moment; how many there are so far, again and again.

    Raises psycopg.Error and OSError.
    """
    lines = _csv(connection) if format_ is Format.CSV else _ndjson(connection)
    count = 0
    for line, accounts in lines:
        file.write(line)
        count += accounts
        yield count


def _csv(connection: psycopg.Connection[Any]) -> Iterator[tuple[bytes, int]]:
    """By Postgres, which quotes what has to be."""
    yield f"{','.join(COLUMNS)}\n".encode(), 0
    flags = _ACCOUNTS.replace("disabled,", "CASE WHEN disabled THEN 'true' ELSE 'false' END,")
    with connection.cursor().copy(f"COPY ({flags}) TO STDOUT (FORMAT csv)") as copy:
        for part in copy:
            yield bytes(part), bytes(part).count(b"\n")


def _ndjson(connection: psycopg.Connection[Any]) -> Iterator[tuple[bytes, int]]:
    encoder = msgspec.json.Encoder()
    with connection.transaction(), connection.cursor("accounts") as cursor:
        cursor.itersize = ROWS
        cursor.execute(_ACCOUNTS)
        for row in cursor:
            yield encoder.encode(dict(zip(COLUMNS, row, strict=True))) + b"\n", 1
