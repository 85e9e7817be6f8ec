"""Verifies a range of the audit in Postgres: each batch by its seal, each row by the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

from events.signatures import Opener
from oracle import seals
from oracle.judge import Judge, Place, is_before
from oracle.replay import readable
from oracle.seals import COLUMNS, Row, Seal
from sql.connection import connection_options

AUDIT_LOG = "audit"
"""Stands for the topic in the signature of a seal."""

MOST_DIFFERENCES = 20
"""After so many it is enough."""

ROWS_AT_ONCE = 5_000

FOR_EVER_MS = 2**63 - 1


class Range(NamedTuple):
    """Which rows to verify, by their append times in milliseconds.

    Of each partition, from the first batch that has some of these times to the last one, whatever
    the clock did between.
    """

    from_ms: int = 0
    to_ms: int = FOR_EVER_MS
    """The first one that is not verified."""
    kept_from_ms: int = 0
    """What is older may have been deleted by retention."""


ALL = Range()


class Difference(NamedTuple):
    """Something that is not as it was written, or not as the policy demands."""

    place: Place
    ms: int
    sentence: str

    def __str__(self) -> str:
        """The line in the report."""
        generation, partition, offset = self.place
        return (
            f"partition {partition}, generation {generation}, offset {offset}, of "
            f"{readable(self.ms)}: {self.sentence}"
        )


@dataclass
class Report:
    """What was found."""

    batches: int = 0
    rows: int = 0
    judged: int = 0
    """Rows whose decision follows from the rows before it."""
    unjudged: int = 0
    """Rows of which it could not be known: the account's history begins before the range, its name
    was taken out, or nothing was decided for a reason that the audit has not."""
    unsealed: int = 0
    """Rows from before there were seals, of which nothing is known."""
    blocks: int = 0
    unblocks: int = 0
    expiries: int = 0
    signed: bool = False
    """Whether every seal has a signature that was checked by its key, and is right."""
    first_ms: int = 0
    last_ms: int = 0
    """The times of the first and the last batch that was verified."""
    differences: list[Difference] = field(default_factory=list)
    """The first ones, in the order of the log."""


class _EnoughError(Exception):
    """No further difference is of interest."""


class _Stored(NamedTuple):
    """A row of `audit_seals`."""

    to_offset: int
    first_ms: int
    last_ms: int
    value: bytes


def verify(
    database_url: str,
    opener: Opener,
    within: Range = ALL,
    progress: Callable[[int], object] = lambda rows: None,
) -> Report:
    """Verify all that one moment's snapshot has of this range.

    ``opener`` opens seals, as records of the topic :data:`AUDIT_LOG`. ``progress`` is called with
    the rows that were read so far. Raises ``psycopg.Error``.
    """
    with psycopg.connect(database_url, **connection_options("verify")) as database:
        database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        database.read_only = True
        verifier = _Verifier(database, opener, within, progress)
        with suppress(_EnoughError):
            verifier.run()
        return verifier.report


class _Verifier:
    def __init__(
        self,
        database: psycopg.Connection[Any],
        opener: Opener,
        within: Range,
        progress: Callable[[int], object],
    ) -> None:
        self.report = Report(signed=True)
        self._database = database
        self._opener = opener
        self._within = within
        self._progress = progress
        self._streams = 0
        self._reached = self._positions()
        self._first = self._first_seals()
        self._begin = self._begin_of_range()
        self._end = self._end_of_range()
        self._window = self._times()
        self._heads: dict[int, bytes | None] = {}
        self._judge = Judge(self._is_whole(), self._erasures())
        self._deletions = [
            Place(*row)
            for row in database.execute(
                "SELECT generation, partition, max(log_offset) FROM audit"
                " WHERE username = '' AND kind = 'deleted' AND decision = 0 GROUP BY 1, 2"
            )
        ]

    def run(self) -> None:
        """Fill the report. Raises _EnoughError."""
        groups = self._database.execute(
            "SELECT generation, partition FROM audit_seals UNION SELECT generation, partition"
            " FROM audit WHERE appended_ms BETWEEN %s AND %s ORDER BY 1, 2",
            self._window,
        ).fetchall()
        for generation, partition in groups:
            self._verify_group(generation, partition)
        self._check_heads()
        found = self._judge.found
        for name in ("judged", "unjudged", "blocks", "unblocks", "expiries"):
            setattr(self.report, name, found[name])

    def _verify_group(self, generation: int, partition: int) -> None:
        rows = self._rows(generation, partition)
        waiting = next(rows, None)
        for stored in self._seals(generation, partition):
            place = Place(generation, partition, stored.to_offset - 1)
            seal = self._open(place, stored)
            self._check_link(place, stored, seal)
            start = place.offset if seal is None else seal.from_offset
            batch: list[Row] = []
            while waiting is not None and waiting.offset < stored.to_offset:
                if waiting.offset < start:
                    self._unsealed(Place(generation, partition, waiting.offset), waiting)
                else:
                    batch.append(waiting)
                waiting = next(rows, None)
            inside = (generation, stored.to_offset) <= self._end.get(partition, (0, 0))
            if seal is not None and inside:
                self._check_batch(place, seal, batch)
        while waiting is not None:
            self._unsealed(Place(generation, partition, waiting.offset), waiting)
            waiting = next(rows, None)

    def _open(self, place: Place, stored: _Stored) -> Seal | None:
        try:
            checked = self._opener.check(place.partition, None, stored.value, stored.last_ms)
            seal = seals.read(checked.body)
        except ValueError as error:
            self._differs(place, stored.last_ms, f"the batch's seal is not to be believed: {error}")
            return None
        is_there = (place.generation, place.partition, stored.to_offset, *stored[1:3])
        says = (seal.generation, seal.partition, seal.to_offset, seal.first_ms, seal.last_ms)
        if is_there != says:
            self._differs(place, stored.last_ms, "the batch's seal is that of another batch")
            return None
        self.report.signed &= checked.role is not None
        return seal

    def _check_link(self, place: Place, stored: _Stored, seal: Seal | None) -> None:
        """Whether no seal is missing before this one."""
        first = place.partition not in self._heads
        before = self._seal_before(place) if first else self._heads[place.partition]
        self._heads[place.partition] = seals.digest(stored.value)
        if seal is None or (before or b"") == seal.previous:
            return
        if seal.latest_ms < self._within.kept_from_ms:
            return  # retention deletes what is before it, in no order
        self._differs(
            Place(place.generation, place.partition, seal.from_offset),
            seal.first_ms,
            "the seal before this batch's is not the one that was there: seals were deleted, "
            "changed or inserted",
        )

    def _check_batch(self, place: Place, seal: Seal, rows: list[Row]) -> None:
        start = Place(place.generation, place.partition, seal.from_offset)
        self.report.batches += 1
        self.report.first_ms = min(self.report.first_ms or seal.first_ms, seal.first_ms)
        self.report.last_ms = max(self.report.last_ms, seal.last_ms)
        gone = seal.first_ms < self._within.kept_from_ms and len(rows) < seal.rows
        if not gone and seals.content(rows) != seal.content:
            self._differs(start, seal.first_ms, _how_it_differs(seal, rows))
        policies = seal.policies
        said = self._judge.begin_batch(place.partition, policies, rows)
        if said is not None:
            self._differs(start, seal.first_ms, said)
        for row in rows:
            at = start._replace(offset=row.offset)
            said = self._judge.take(at, row, policies)
            if said is not None:
                self._differs(at, row.ms, f"{row.kind} of {row.user!r}: {said}")
            if row.lost_its_name and not any(is_before(at, row, each) for each in self._deletions):
                self._differs(at, row.ms, "its name was taken out, and no deletion came after it")

    def _unsealed(self, place: Place, row: Row) -> None:
        """A row that belongs to no seal that was read."""
        if not self._within.from_ms <= row.ms < self._within.to_ms:
            return
        first = self._first.get(place.partition)
        begin = self._reached.get(place.partition, Place(0, 0, 0))
        if first is not None:
            begin = Place(first.generation, place.partition, first.from_offset)
        oldest = Place(1, place.partition, 0)
        was_before_seals = (
            row.salt is None and oldest <= place < begin and not (first and first.previous)
        )
        if was_before_seals or row.ms < self._within.kept_from_ms:
            self.report.unsealed += 1
        else:
            self._differs(place, row.ms, "no seal vouches for this row: it was inserted, or moved")

    def _check_heads(self) -> None:
        """Whether the newest seals are those that the workers wrote last."""
        written = self._database.execute(
            "SELECT partition, last_seal, latest_ms FROM partition_progress"
        )
        for partition, last, latest_ms in written.fetchall():
            place = self._reached[partition]
            head = self._heads.get(partition)
            if head is None and last is not None:
                head = self._seal_before(place)
            gone = head is None and (last is None or latest_ms < self._within.kept_from_ms)
            if head != last and not gone:
                self._differs(
                    place, 0, "the newest seal of the partition is not the one that was written"
                )

    def _differs(self, place: Place, ms: int, sentence: str) -> None:
        self.report.differences.append(Difference(place, ms, sentence))
        if len(self.report.differences) >= MOST_DIFFERENCES:
            raise _EnoughError

    # ---- what Postgres has ----

    def _positions(self) -> dict[int, Place]:
        """How far each partition is decided."""
        rows = self._database.execute(
            "SELECT generation, partition, next_offset FROM partition_progress ORDER BY partition"
        )
        return {place.partition: place for place in (Place(*row) for row in rows)}

    def _first_seals(self) -> dict[int, Seal]:
        """The oldest seal of each partition, as far as it can be read."""
        found = {}
        for partition, value in self._database.execute(
            "SELECT DISTINCT ON (partition) partition, seal FROM audit_seals"
            " ORDER BY partition, generation, to_offset"
        ):
            try:
                body = self._opener.check(partition, None, value, 0).body
                found[partition] = seals.read(body)
            except ValueError:
                continue  # it is told where it is read again
        return found

    def _begin_of_range(self) -> dict[int, tuple[int, int]]:
        """Generation and end of the first batch of each partition that may be in the range."""
        return {
            partition: (generation, to_offset)
            for partition, generation, to_offset in self._database.execute(
                "SELECT DISTINCT ON (partition) partition, generation, to_offset FROM audit_seals"
                " WHERE last_ms >= %s ORDER BY partition, generation, to_offset",
                (self._within.from_ms,),
            )
        }

    def _end_of_range(self) -> dict[int, tuple[int, int]]:
        """Generation and end of the last batch of each of these partitions that is in the range."""
        return {
            partition: (generation, to_offset)
            for partition, generation, to_offset in self._database.execute(
                "SELECT number, generation, to_offset FROM unnest(%s::int[]) AS number, LATERAL ("
                "SELECT generation, to_offset FROM audit_seals"
                " WHERE partition = number AND first_ms < %s"
                " ORDER BY generation DESC, to_offset DESC LIMIT 1) AS newest",
                (list(self._begin), self._within.to_ms),
            )
        }

    def _times(self) -> tuple[int, int]:
        """The first and the last append time of the rows of all batches that are in the range."""
        ranges = [(number, *self._begin[number], *end) for number, end in self._end.items()]
        row = self._database.execute(
            "SELECT least(min(first_ms), %s), greatest(max(last_ms), %s - 1) FROM audit_seals JOIN"
            " unnest(%s::int[], %s::int[], %s::bigint[], %s::int[], %s::bigint[])"
            " AS r (number, first, begins, last, ends) ON partition = number"
            " AND (generation, to_offset) BETWEEN (first, begins) AND (last, ends)",
            (
                self._within.from_ms,
                self._within.to_ms,
                *([each[n] for each in ranges] for n in range(5)),
            ),
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _is_whole(self) -> bool:
        """Whether the range begins where the logs do, with nothing decided before."""
        decided = {number for number, place in self._reached.items() if place.offset > 0}
        return decided == self._first.keys() and all(
            (seal.previous, seal.generation, seal.from_offset) == (b"", 1, 0)
            and seal.first_ms >= self._within.from_ms
            for seal in self._first.values()
        )

    def _erasures(self) -> dict[str, Place]:
        return {
            user: Place(*place)
            for user, *place in self._database.execute(
                "SELECT username, generation, partition, log_offset FROM erasures"
            )
        }

    def _seal_before(self, place: Place) -> bytes | None:
        """The digest of the seal before this place."""
        row = self._database.execute(
            "SELECT seal FROM audit_seals WHERE partition = %s AND (generation, to_offset)"
            " < (%s, %s) ORDER BY generation DESC, to_offset DESC LIMIT 1",
            (place.partition, place.generation, place.offset + 1),
        ).fetchone()
        return None if row is None else seals.digest(row[0])

    def _seals(self, generation: int, partition: int) -> Iterator[_Stored]:
        """From the first one that may be in the range on."""
        begin = self._begin.get(partition)
        if begin is None or generation < begin[0]:
            return
        for row in self._stream(
            "SELECT to_offset, first_ms, last_ms, seal FROM audit_seals WHERE partition = %s"
            " AND generation = %s AND to_offset >= %s ORDER BY to_offset",
            (partition, generation, begin[1] if generation == begin[0] else 0),
        ):
            yield _Stored(*row)

    def _rows(self, generation: int, partition: int) -> Iterator[Row]:
        for row in self._stream(
            f"SELECT {COLUMNS} FROM audit WHERE partition = %s AND generation = %s"
            " AND appended_ms BETWEEN %s AND %s ORDER BY log_offset",
            (partition, generation, *self._window),
        ):
            self.report.rows += 1
            if self.report.rows % ROWS_AT_ONCE == 0:
                self._progress(self.report.rows)
            yield Row(*row)

    def _stream(self, query: str, values: tuple[object, ...]) -> Iterator[tuple[Any, ...]]:
        """What the query gives, some thousand rows at a time."""
        self._streams += 1
        with self._database.cursor(f"verify_{self._streams}") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(query, values, binary=True)
            yield from cursor


def _how_it_differs(seal: Seal, rows: list[Row]) -> str:
    there = len(rows)
    where = f"the batch of offsets {seal.from_offset} to {seal.to_offset - 1}"
    if there != seal.rows:
        lost = "deleted" if there < seal.rows else "inserted"
        return f"{where} was written with {seal.rows} rows, and {there} are there: rows were {lost}"
    return f"a row of {where} is not as it was written"
