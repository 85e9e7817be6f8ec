"""Writes the accounts of a file, some thousand lines in a transaction.

An import that was killed is run again: what is there already is passed over. So nothing has to
remember how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import psycopg

from gateway.accounts.records import BadLine, Record
from gateway.postgres.accounts import GOOD_SECONDS

CHUNK_LINES = 10_000
"""Of one transaction. A registration of one of its names waits for it, some tenths of a second."""

THERE = "There is an account with this name, which was kept; --replace would replace it."

_CHUNK = """
    CREATE TEMP TABLE import_chunk (
        line bigint, username text, password_hash text, disabled boolean, registered_at timestamptz
    ) ON COMMIT DROP
"""
_COPY = "COPY import_chunk FROM STDIN"

# Of lines with one name the first counts, as if they came one after the other; with --replace the
# last one. Names are written in their order, so that two imports do not wait for each other. The
# accounts that the statement reads are those before it.
_WRITE = """
    WITH chosen AS MATERIALIZED (
        SELECT DISTINCT ON (username) *
          FROM import_chunk
         ORDER BY username, CASE WHEN {replace} THEN -line ELSE line END
    ), former AS MATERIALIZED (
        SELECT a.* FROM chosen JOIN accounts a USING (username) ORDER BY username {lock}
    ), wanted AS MATERIALIZED (
        SELECT c.username, c.password_hash, c.registered_at,
               coalesce(c.disabled, f.disabled, false) AS disabled
          FROM chosen c LEFT JOIN former f USING (username)
    ), written AS (
        INSERT INTO accounts AS a (username, password_hash, disabled, registered_at)
        SELECT username, password_hash, disabled, coalesce(registered_at, now())
          FROM wanted ORDER BY username
        ON CONFLICT (username) {conflict}
        RETURNING username, password_hash
    ), forms AS (
        INSERT INTO password_forms AS p (form, accounts)
        SELECT form, sum(accounts) FROM (
            SELECT password_form(password_hash) AS form, 1 AS accounts FROM written
            UNION ALL
            SELECT password_form(f.password_hash), -1 FROM written JOIN former f USING (username)
        ) AS changes
        GROUP BY form ORDER BY form
        ON CONFLICT (form) DO UPDATE SET accounts = greatest(0, p.accounts + excluded.accounts)
    )
    SELECT c.line, c.username,
           CASE WHEN w.username IS NOT NULL AND c.line = chosen.line THEN 'replaced'
                WHEN (c.password_hash, coalesce(c.disabled, f.disabled, false))
                   = CASE WHEN w.username IS NULL THEN (f.password_hash, f.disabled)
                          ELSE (wanted.password_hash, wanted.disabled) END THEN 'same'
                WHEN {replace} THEN 'replaced'
                ELSE 'kept'  -- also where a registration came in between, which is not read
           END
      FROM import_chunk c
      JOIN chosen USING (username)
      JOIN wanted USING (username)
      LEFT JOIN former f USING (username)
      LEFT JOIN written w USING (username)
     WHERE w.username IS NULL OR f.username IS NOT NULL OR c.line <> chosen.line
     ORDER BY c.line
"""

_KEEP = _WRITE.format(replace="false", lock="", conflict="DO NOTHING")
_REPLACE = _WRITE.format(
    replace="true",
    lock="FOR UPDATE OF a",  # so that nobody disables an account between the look and the write
    conflict="""DO UPDATE
           SET password_hash = excluded.password_hash, disabled = excluded.disabled,
               version = next_version(a.version)
         WHERE (a.password_hash, a.disabled) IS DISTINCT FROM
               (excluded.password_hash, excluded.disabled)""",
)


class Counts(NamedTuple):
    """What became of the lines of a file."""

    created: int = 0
    replaced: int = 0
    same: int = 0
    """Of accounts that were there already, just as the line has them."""
    kept: int = 0
    """Of accounts that were there already, and differ; in the report."""
    refused: int = 0
    """In the report, each with its reason."""

    @property
    def lines(self) -> int:
        """All of them, but for empty ones."""
        return sum(self)


def write(
    connection: psycopg.Connection[Any],
    records: Iterable[Record | BadLine],
    report: Callable[[BadLine], None],
    *,
    replace: bool,
    after_chunk: Callable[[Counts], None] = lambda _: None,
) -> Counts:
    """Write these accounts; `report` gets the others. The connection commits by itself.

    An account that is there is kept, or with `replace` gets the hash of its line: then tokens of
    its sessions end, as after a change of its password. Raises psycopg.Error; what was reported to
    `after_chunk` is done then.
    """
    counts = Counts()
    try:
        for chunk in _chunks(records):
            good = [record for record in chunk if isinstance(record, Record)]
            refused = [record for record in chunk if isinstance(record, BadLine)]
            fates = _write_chunk(connection, good, replace) if good else []
            kept = [BadLine(line, user, THERE) for line, user, fate in fates if fate == "kept"]
            replaced, same = (
                sum(fate == each for *_, fate in fates) for each in ("replaced", "same")
            )
            counts = Counts(
                counts.created + len(good) - len(fates),
                counts.replaced + replaced,
                counts.same + same,
                counts.kept + len(kept),
                counts.refused + len(refused),
            )
            for bad in sorted(refused + kept):
                report(bad)
            after_chunk(counts)
    finally:
        if replace:  # until no login relies any more on what it had read before
            time.sleep(GOOD_SECONDS)
    return counts


def _chunks(
    records: Iterable[Record | BadLine],
) -> Iterator[list[Record | BadLine]]:
    records = iter(records)
    while chunk := list(islice(records, CHUNK_LINES)):
        yield chunk


def _write_chunk(
    connection: psycopg.Connection[Any], records: list[Record], replace: bool
) -> list[tuple[int, str, str]]:
    """Those lines that made no new account, with what became of them."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_CHUNK)  # one for each transaction, as a pooler may change sessions
        with cursor.copy(_COPY) as copy:
            for record in records:
                copy.write_row(record)
        cursor.execute("ANALYZE import_chunk")
        cursor.execute(_REPLACE if replace else _KEEP)
        return cursor.fetchall()
