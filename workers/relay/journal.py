"""What the relay reads and writes in Postgres, by the one connection of its process.

The connection has a lock that makes the process the leader: the server ends a session that says
nothing for a second, and with it the lock. So a leader that is dead, frozen or cut off is followed
by another one, and cannot commit any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from sql.connection import Limits, connection_options
from workers.relay.event import AnyEvent, Decided, End, Note
from workers.relay.webhooks import bodies, enqueue

LOCK = 0x72656C6179
"""The key of the advisory lock: any number, the same on every host."""

IDLE_MS = 1_000
"""So long a leader may say nothing."""

STATEMENT_MS = 3_000
"""One that takes longer fails: a third of the time after which a silent process is killed. Between
two there is a sign of life."""

BATCHES = 50
"""Batches of a partition that are read at once: 25,000 decisions at most, so that a slow disk has
them within a statement's time."""

ROWS = 2_000
"""Decisions that are handled at once, of all partitions: what follows from them is made, sent and
noted within a small part of the time that a leader may say nothing."""

EXPIRIES = 1_000
"""Ends of blocks that are handled at once."""


NOTES = 1_000
"""Notes that are read at once."""


class Cursor(NamedTuple):
    """A position in a partition's log."""

    partition: int
    generation: int
    next_offset: int


class Behind(NamedTuple):
    """A partition of which decisions are not published yet."""

    since: Cursor
    now: Cursor


class Journal:
    """One session of Postgres. Every method may raise ``psycopg.Error``."""

    def __init__(self, database_url: str, beat: Callable[[], object] = lambda: None) -> None:
        """`beat` is called between statements of which each may take long."""
        self._beat = beat
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            database_url, autocommit=True, **connection_options("relay")
        )
        Limits(statement_ms=STATEMENT_MS).set(self._connection)

    def close(self) -> None:
        """End the session, and with it the lead."""
        self._connection.close()

    def lead(self) -> bool:
        """Become the leader; False where another process is."""
        # At once, as this process may freeze after any statement. The second limit is for a session
        # that has begun a transaction, for which the first one is not.
        leads, *_ = self._one(
            "SELECT leads,"
            "       CASE WHEN leads THEN set_config('idle_session_timeout', %s, false) END,"
            "       CASE WHEN leads"
            "            THEN set_config('idle_in_transaction_session_timeout', %s, false) END"
            "  FROM (SELECT pg_try_advisory_lock(%s) AS leads OFFSET 0) AS lock",
            *(str(IDLE_MS), str(IDLE_MS), LOCK),
        )
        return bool(leads)

    def live(self) -> None:
        """Say something, so that the session goes on."""
        self._one("SELECT 1")

    def now_ms(self) -> int:
        """The time by the server's clock."""
        (ms,) = self._one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        return int(ms)

    def behind(self) -> list[Behind]:
        """The partitions with decisions after their cursors, those of old generations first.

        A new partition's cursor is at its start.
        """
        rows = self._connection.execute(
            "SELECT p.partition, coalesce(c.generation, 0), coalesce(c.next_offset, 0),"
            "       p.generation, p.next_offset"
            "  FROM partition_progress p LEFT JOIN event_cursors c USING (partition)"
            " WHERE (coalesce(c.generation, 0), coalesce(c.next_offset, 0))"
            "       < (p.generation, p.next_offset)"
            " ORDER BY coalesce(c.generation, 0), p.partition"
        )
        return [
            Behind(Cursor(n, generation, offset), Cursor(n, *now))
            for n, generation, offset, *now in rows
        ]

    def oldest_ms(self, behind: Behind) -> int | None:
        """The append time of the first decision that is not published; None where there is none."""
        self._beat()
        row = self._connection.execute(
            "SELECT first_ms FROM audit_seals"
            " WHERE partition = %s AND (generation, to_offset) > (%s, %s)"
            " ORDER BY generation, to_offset LIMIT 1",
            behind.since,
        ).fetchone()
        return row and row[0]

    def decided(self, behind: Behind, most: int) -> tuple[Cursor, list[Decided]]:
        """The next decisions of which events may follow, in their order, and where they end."""
        since, now = behind
        if not most:
            return since, []
        self._beat()
        # The batches say in which days their rows are, so that no other day's table is opened.
        seals = self._connection.execute(
            "SELECT generation, to_offset, first_ms, last_ms FROM audit_seals"
            " WHERE partition = %s AND (generation, to_offset) > (%s, %s)"
            "   AND (generation, to_offset) <= (%s, %s)"
            " ORDER BY generation, to_offset LIMIT %s",
            (*since, *now[1:], BATCHES),
        ).fetchall()
        if not seals:  # a new generation, or batches that retention has deleted
            return now, []
        self._beat()
        to = now if len(seals) < BATCHES else Cursor(since.partition, *seals[-1][:2])
        with self._connection.cursor(row_factory=class_row(Decided)) as cursor:
            rows = cursor.execute(
                'SELECT partition, generation, log_offset AS "offset", appended_ms, id, kind,'
                '       username AS "user", until_ms, change, policy_version, source, user_agent,'
                "       operator, reason"
                "  FROM audit"
                " WHERE partition = %s AND (generation, log_offset) >= (%s, %s)"
                "   AND (generation, log_offset) < (%s, %s)"
                "   AND appended_ms BETWEEN %s AND %s"
                # Each partition has each policy; the first one's stands for all.
                "   AND (change <> 0 OR kind = 'policy' AND decision = 0 AND partition = 0)"
                " ORDER BY generation, log_offset LIMIT %s",
                (
                    *(*since, *to[1:]),
                    *(min(seal[2] for seal in seals), max(seal[3] for seal in seals), most),
                ),
            ).fetchall()
        if len(rows) == most:
            to = Cursor(since.partition, rows[-1].generation, rows[-1].offset + 1)
        return to, rows

    def ends_of(self, users: Iterable[str]) -> dict[str, End]:
        """The ends to come of these accounts' blocks."""
        self._beat()
        rows = self._connection.execute(
            "SELECT username, until_ms, since_ms, partition, generation, log_offset"
            "  FROM event_ends WHERE username = ANY(%s)",
            (sorted(set(users)),),
        )
        return {user: End(*end) for user, *end in rows}

    def due(self, ms: int) -> list[tuple[str, End, bool]]:
        """The blocks that ended until then, the first ones first.

        With each whether its account has not been deleted since: then nothing may say its name.
        """
        rows = self._connection.execute(
            "SELECT username, until_ms, since_ms, partition, generation, log_offset"
            "  FROM event_ends WHERE until_ms <= %s ORDER BY until_ms LIMIT %s",
            (ms, EXPIRIES),
        ).fetchall()
        if not rows:
            return []
        ends = {user: End(*end) for user, *end in rows}
        self._beat()
        _, *places = zip(*ends.values(), strict=True)
        names = self._connection.execute(
            "SELECT partition, generation, log_offset, username"
            "  FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::bigint[])"
            "       AS e (appended_ms, partition, generation, log_offset)"
            "  JOIN audit USING (appended_ms, partition, generation, log_offset)"
            # So that no other day's table is opened.
            " WHERE audit.appended_ms BETWEEN %s AND %s",
            (*map(list, places), min(places[0]), max(places[0])),
        )
        deleted = {tuple(place) for *place, name in names if not name}
        return [(user, end, end[2:] not in deleted) for user, end in ends.items()]

    def notes(self) -> list[Note]:
        """The next of what was noted and is not published yet."""
        with self._connection.cursor(row_factory=class_row(Note)) as cursor:
            return cursor.execute(
                "SELECT id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, kind, data"
                "  FROM event_notes ORDER BY at, id LIMIT %s",
                (NOTES,),
            ).fetchall()

    def oldest_other_ms(self) -> int | None:
        """The time of the first end of a block, which may be to come, or note; None without any."""
        self._beat()
        (ms,) = self._one(
            "SELECT least((SELECT min(until_ms) FROM event_ends),"
            "             (SELECT (extract(epoch FROM min(at)) * 1000)::bigint FROM event_notes))"
        )
        return ms and int(ms)

    def webhooks_behind(self) -> tuple[float, int]:
        """The age of the oldest event that waits for a receiver, in seconds, and dead letters."""
        age, dead = self._one(
            "SELECT (SELECT extract(epoch FROM now() - min(noted_at))::float8"
            "          FROM webhooks w, LATERAL (SELECT noted_at FROM webhook_deliveries d"
            "                                     WHERE d.webhook = w.name AND dead_at IS NULL"
            "                                     ORDER BY number LIMIT 1) AS first),"
            "       (SELECT count(*) FROM webhook_deliveries WHERE dead_at IS NOT NULL)"
        )
        return age or 0.0, dead

    def commit(
        self,
        cursors: Sequence[Cursor],
        ends: Mapping[str, End],
        gone: Iterable[str],
        events: Sequence[AnyEvent],
        notes: Sequence[Note] = (),
    ) -> None:
        """Take as published what is before the cursors, and the notes; add and remove ends.

        The events wait for the webhooks from then on.
        """
        waiting = bodies(events)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if cursors:
                cursor.executemany(
                    "INSERT INTO event_cursors VALUES (%s, %s, %s) ON CONFLICT (partition) DO"
                    " UPDATE SET generation = excluded.generation,"
                    "            next_offset = excluded.next_offset",
                    cursors,
                )
            self._beat()
            if names := sorted(gone):
                cursor.execute("DELETE FROM event_ends WHERE username = ANY(%s)", (names,))
            self._beat()
            if ends:
                cursor.execute(
                    "INSERT INTO event_ends SELECT * FROM unnest(%s::text[], %s::bigint[],"
                    "    %s::bigint[], %s::int[], %s::int[], %s::bigint[])"
                    " ON CONFLICT (username) DO UPDATE SET until_ms = excluded.until_ms,"
                    "    since_ms = excluded.since_ms, partition = excluded.partition,"
                    "    generation = excluded.generation, log_offset = excluded.log_offset",
                    [list(ends), *map(list, zip(*ends.values(), strict=True))],
                )
            self._beat()
            if notes:
                ids = [note.id for note in notes]
                cursor.execute("DELETE FROM event_notes WHERE id = ANY(%s)", (ids,))
            self._beat()
            if waiting:
                enqueue(self._connection, waiting)
            self._beat()

    def _one(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()
