"""`python -m workers quarantine`: list what could not be decided, or put it into the log again.

A request from before a resize stays undecided: its account may be in another partition now.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from psycopg.rows import kwargs_row

from events.clients import connection
from events.topics import ATTEMPTS
from settings import Settings

WAIT_SECONDS = 15.0
"""For Kafka to take what is replayed; longer than an election takes."""


class QuarantineCommandError(Exception):
    """Nothing, or not all, was replayed; the message says what, and what to do."""


class Entry(NamedTuple):
    """A record that was put aside."""

    partition: int
    generation: int
    log_offset: int
    at: str
    key: bytes | None
    value: bytes | None
    reason: str

    def __str__(self) -> str:
        """The line in the list."""
        size = len(self.value or b"")
        return (
            f"partition {self.partition}  generation {self.generation}  offset {self.log_offset}  "
            f"{self.at}  {size} bytes  {self.reason}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; without any the quarantine is listed."""
    commands = parser.add_subparsers(dest="quarantine_command", metavar="[replay]")
    replay = commands.add_parser(
        "replay", help="append the same bytes to the same partition again, where they are decided"
    )
    replay.add_argument("partition", type=int, nargs="?")
    replay.add_argument("offset", type=int, nargs="?", help="of its newest generation")
    replay.add_argument("--all", action="store_true", help="all that is listed, of the partition")


def run(settings: Settings, arguments: argparse.Namespace) -> str:
    """Carry the command out; what to print."""
    if arguments.quarantine_command is None:
        with psycopg.connect(settings.require_database(), autocommit=True) as database:
            entries = _entries(database)
        return "\n".join(map(str, entries)) or "The quarantine is empty."
    if arguments.all == (arguments.offset is not None):
        raise QuarantineCommandError(
            "Say which record to replay, by its partition and offset, or --all, of one partition "
            "if you name it."
        )
    kafka = settings.require_kafka()
    # The rows are marked in a transaction that ends when Kafka has taken them: two commands at
    # once replay nothing twice, and what Kafka did not take stays listed.
    with psycopg.connect(settings.require_database()) as database:
        entries = _entries(database, for_replay=True)
        if not arguments.all:
            entries = _newest(entries, arguments.partition, arguments.offset)
        elif arguments.partition is not None:
            entries = [e for e in entries if e.partition == arguments.partition]
        _mark(database, entries)
        _append(kafka, entries)
    return f"{len(entries)} of them stand in the log again." if entries else "There is nothing."


def _entries(database: psycopg.Connection[Any], for_replay: bool = False) -> list[Entry]:
    with database.cursor(row_factory=kwargs_row(Entry)) as cursor:
        return cursor.execute(
            "SELECT partition, generation, log_offset,"
            " to_char(quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"') AS at,"
            " key, value, reason FROM quarantine WHERE replayed_at IS NULL"
            " ORDER BY partition, generation, log_offset" + (" FOR UPDATE" if for_replay else "")
        ).fetchall()


def _newest(entries: list[Entry], partition: int, offset: int) -> list[Entry]:
    found = [e for e in entries if (e.partition, e.log_offset) == (partition, offset)]
    if not found:
        raise QuarantineCommandError(
            f"There is nothing in quarantine from offset {offset} of partition {partition}, or it "
            "was replayed. `python -m workers quarantine` lists what there is."
        )
    return found[-1:]


def _mark(database: psycopg.Connection[Any], entries: list[Entry]) -> None:
    with database.cursor() as cursor:
        cursor.executemany(
            "UPDATE quarantine SET replayed_at = now()"
            " WHERE partition = %s AND generation = %s AND log_offset = %s",
            [(e.partition, e.generation, e.log_offset) for e in entries],
        )


def _append(bootstrap_servers: str, entries: list[Entry]) -> None:
    refused: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer(
        connection(bootstrap_servers)
        | {
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": round(WAIT_SECONDS * 1000),
        }
    )
    try:
        for entry in entries:
            producer.produce(
                ATTEMPTS, entry.value, entry.key, partition=entry.partition, on_delivery=delivered
            )
            producer.poll(0)
        left = producer.flush(WAIT_SECONDS + 1)
    except (KafkaException, BufferError) as error:
        refused.append(str(error))
        left = 0
    if left or refused:
        raise QuarantineCommandError(
            f"Kafka failed: {refused[0] if refused else 'no answer in time'}. All stay listed, "
            "although some may stand in the log again. See with `python -m workers quarantine`."
        )
