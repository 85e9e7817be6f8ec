"""List records that could not be decided, or append them again.

A request from before a resize stays undecided: its account may be in another partition now.

Where records are signed, only those are appended again that verify in their place, or needed no
signature when the log got them; they are signed anew, by the role that signed them. So a forged
record stays where it is, and one that was refused for its time needs a person that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct
from psycopg.rows import kwargs_row

from events.clients import client_options, explain, reason
from events.messages import UndecodableError
from events.signatures import Opener, Sealer, role_of
from events.signing_keys import key_file
from events.topics import ATTEMPTS
from settings import Settings
from sql.connection import connection_options
from workers.commands.errors import CommandError, CommandUsageError
from workers.commands.log_time import log_time_ms

WAIT_SECONDS = 15.0
"""How long Kafka may take to accept the replayed records: longer than an election."""

BATCH = 1_000
"""Records that are appended and marked at once. They are signed as of one moment, and late 20 s
later; and a client takes in 1 GB, which is so many of the largest ones."""

OPTIONS = connection_options("quarantine")


class QuarantinedRecord(NamedTuple):
    """A record in the quarantine."""

    partition: int
    generation: int
    log_offset: int
    appended_ms: int
    at: str
    key: bytes | None
    value: bytes | None
    reason: str


class Replayed(Struct):
    """What became of the records that were to be appended again."""

    appended: int
    refused: list[str]
    """A sentence for each that was not, with the way out."""

    def __str__(self) -> str:
        """The same for people."""
        return "\n".join([f"Records appended to the log again: {self.appended}.", *self.refused])


def entries(settings: Settings) -> list[QuarantinedRecord]:
    """What is in the quarantine, and was not replayed. Raises ``SettingsError`` and psycopg's."""
    with psycopg.connect(settings.require_database(), **OPTIONS) as database:
        return _entries(database)


def replay(
    settings: Settings,
    partition: int | None,
    offset: int | None,
    all_: bool = False,
    late: bool = False,
) -> Replayed:
    """Append one record again, or ``all_``, those of the partition if one is given.

    ``late``: also such as were not signed when the log got them, and may be copies. The offset is
    that in the newest generation. Raises :class:`CommandError`, ``SettingsError`` or
    ``psycopg.Error``.
    """
    if all_ == (offset is not None) or (offset is not None and partition is None):
        raise CommandUsageError(
            "Name the record to replay by its partition and offset, or give --all, with a "
            "partition for all of its records."
        )
    settings.require_kafka()
    done = Replayed(0, [])
    with psycopg.connect(settings.require_database(), autocommit=True, **OPTIONS) as database:
        if partition is not None and offset is not None:
            _replay_one(settings, database, partition, offset, late)
            return Replayed(1, [])
        # What returns to the quarantine meanwhile is not replayed again.
        row = database.execute("SELECT now()").fetchone()
        last = (-1, 0, 0)
        while True:
            with database.transaction():
                found = _entries(
                    database,
                    " AND (partition, generation, log_offset) > (%s, %s, %s)"
                    " AND quarantined_at <= %s AND partition = coalesce(%s, partition)",
                    (*last, row and row[0], partition),
                    f" LIMIT {BATCH} FOR UPDATE",
                )
                if not found:
                    return done
                signed, refused = _sign_anew(settings, found, late)
                _take(settings, database, signed, done.appended)
            last = found[-1][:3]
            done = Replayed(done.appended + len(signed), done.refused + refused)


def _replay_one(
    settings: Settings, database: psycopg.Connection[Any], partition: int, offset: int, late: bool
) -> None:
    with database.transaction():
        found = _entries(
            database,
            " AND partition = %s AND log_offset = %s",
            (partition, offset),
            " FOR UPDATE",
        )
        if not found:
            raise CommandError(
                f"The quarantine has no record from offset {offset} of partition {partition}, or "
                "it was replayed already. `cerrojo quarantine` lists its records."
            )
        signed, refused = _sign_anew(settings, found[-1:], late)
        if refused:
            raise CommandError(refused[0])
        _take(settings, database, signed)


def _take(
    settings: Settings, database: psycopg.Connection[Any], signed: Signed, before: int = 0
) -> None:
    """Mark the records and append them, in a transaction of the caller's.

    It ends when Kafka has accepted them: two commands at once replay nothing twice, and records
    that Kafka did not accept stay listed.
    """
    _mark(database, [entry for entry, _ in signed])
    _append(settings, signed, before)


Signed = list[tuple[QuarantinedRecord, bytes | None]]
"""Records with the values to append."""


def _sign_anew(
    settings: Settings, entries: list[QuarantinedRecord], late: bool
) -> tuple[Signed, list[str]]:
    """The records that may be appended, and a sentence for each of the others."""
    keys = key_file(settings, "workers")
    if keys is None:
        return [(entry, entry.value) for entry in entries], []
    topic = settings.prefixed(ATTEMPTS)
    opener, sealer = Opener(keys, topic, settings.unsigned_until_ms), Sealer(keys, topic)
    now_ms = log_time_ms(settings, WAIT_SECONDS)
    signed: Signed = []
    refused = []
    for entry in entries:
        place = (entry.partition, entry.key, entry.value, entry.appended_ms)
        try:
            body, role, _ = opener.check(*place)
            if not late:
                opener.open(*place)
            role = role or role_of(body or b"")
            if role is None:
                raise UndecodableError("it is no message that any role may sign")
        except UndecodableError as error:
            way_out = (
                "If that was an outage, add --late."
                if error.why in ("late", "early")
                else "It stays in the quarantine."
            )
            refused.append(
                f"Offset {entry.log_offset} of partition {entry.partition} is not appended: "
                f"{error}. {way_out}"
            )
        else:
            value = sealer.seal(role, body or b"", entry.partition, entry.key, now_ms)
            signed.append((entry, value))
    return signed, refused


def _entries(
    database: psycopg.Connection[Any],
    condition: str = "",
    values: Sequence[Any] = (),
    how: str = "",
) -> list[QuarantinedRecord]:
    with database.cursor(row_factory=kwargs_row(QuarantinedRecord)) as cursor:
        return cursor.execute(
            "SELECT partition, generation, log_offset, appended_ms,"
            " to_char(quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"') AS at,"
            f" key, value, reason FROM quarantine WHERE replayed_at IS NULL{condition}"
            f" ORDER BY partition, generation, log_offset{how}",
            values,
        ).fetchall()


def _mark(database: psycopg.Connection[Any], entries: list[QuarantinedRecord]) -> None:
    with database.cursor() as cursor:
        cursor.executemany(
            "UPDATE quarantine SET replayed_at = now()"
            " WHERE partition = %s AND generation = %s AND log_offset = %s",
            [(e.partition, e.generation, e.log_offset) for e in entries],
        )


def _append(settings: Settings, signed: Signed, before: int) -> None:
    topic = settings.prefixed(ATTEMPTS)
    refused: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(explain(error))

    producer = Producer(
        client_options(settings)
        | {
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": round(WAIT_SECONDS * 1000),
        }
    )
    try:
        for entry, value in signed:
            producer.produce(
                topic, value, entry.key, partition=entry.partition, on_delivery=delivered
            )
            producer.poll(0)
        undelivered = producer.flush(WAIT_SECONDS + 1)
    except (KafkaException, BufferError) as error:
        refused.append(reason(error))
        undelivered = 0
    if undelivered or refused:
        raise CommandError(
            f"Kafka failed: {refused[0] if refused else 'no answer in time'}. {before} records are "
            "appended to the log again; all others stay listed, although some may be there, too. "
            "`cerrojo quarantine` lists them."
        )
