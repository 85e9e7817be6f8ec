"""Use more partitions while logins go on.

The rule is in `workers.partition.repartitioning`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from msgspec import Struct
from psycopg.types.json import Jsonb

from events.clients import answer
from events.messages import MOST_PARTITIONS
from events.topics import ADMIN_TIMEOUT_SECONDS, ATTEMPTS, describe
from settings import Settings
from sql.connection import connection_options
from sql.topology import exclusive_command
from workers.commands.change_policy import this_user
from workers.commands.errors import (
    CommandError,
    CommandUsageError,
    kafka_failed,
    reach_kafka,
)

WAIT_SECONDS = 60.0
"""How long all partitions may take to have a worker and enter the layout; five are usual."""

POLL_SECONDS = 0.1


class _Layout(NamedTuple):
    """The numbers of partitions that Postgres has."""

    used: int
    wanted: int
    """More than ``used`` while a resize is under way."""


class Partitions(Struct):
    """How many partitions there are."""

    used: int
    wanted: int
    """More than ``used`` while a resize is under way."""
    present: int
    """In the topic."""

    def __str__(self) -> str:
        """The same for people."""
        text = f"{self.used} partitions of {ATTEMPTS} are used"
        if self.wanted > self.used:
            text += f"; a resize to {self.wanted} is under way"
        unused = self.present - max(self.used, self.wanted)
        return text + (f"; {unused} more in the topic are unused." if unused > 0 else ".")


Progress = Callable[[int, int], None]
"""Gets how many partitions are done, and of how many."""


def run(
    settings: Settings,
    partitions: int | None,
    progress: Progress = lambda *_: None,
    reason: str | None = None,
) -> Partitions:
    """Use so many from now on; None: only say how many there are.

    The audit has the name of this process' user beside each partition's record, and the reason.
    Raises :class:`CommandError`, ``SettingsError`` or ``psycopg.Error``.
    """
    kafka = reach_kafka(settings)
    topic = settings.prefixed(ATTEMPTS)
    with psycopg.connect(
        settings.require_database(), autocommit=True, **connection_options("resize")
    ) as database:
        layout = _layout(database)
        if partitions is not None:
            _check(layout, partitions)
        if partitions in (None, layout.used):
            return Partitions(*layout, _present(kafka, topic))
        with exclusive_command(database) as exclusive:
            if not exclusive:
                raise CommandError(
                    "Another command is changing the policy or the partitions. Run the command "
                    "again when that is done."
                )
            _check_policies(database)
            _add_partitions(kafka, topic, partitions)
            asked = {"partitions": partitions, "operator": this_user(), "reason": reason}
            database.execute(  # who finishes what somebody began has not asked for it
                "UPDATE topology SET wanted = %(wanted)s, asked = %(asked)s"
                " WHERE wanted < %(wanted)s",
                {"wanted": partitions, "asked": Jsonb(asked)},
            )
            _wait(database, partitions, progress)
        return Partitions(*_layout(database), _present(kafka, topic))


def _layout(database: psycopg.Connection[Any]) -> _Layout:
    row = database.execute("SELECT partitions, wanted FROM topology").fetchone()
    if row is None:
        raise CommandError(
            "The number of partitions is not set yet. Run `python -m events`, which sets it."
        )
    return _Layout(*row)


def _check(layout: _Layout, wanted: int) -> None:
    if wanted < layout.used:
        raise CommandUsageError(
            f"{layout.used} partitions are used, and the number cannot be lowered: with {wanted}, "
            "attempts would stay undecided in partitions without a worker."
        )
    if wanted > MOST_PARTITIONS:
        raise CommandUsageError(
            f"{wanted} partitions are too many. Give a number up to {MOST_PARTITIONS}."
        )
    if layout.wanted > layout.used and wanted != layout.wanted:
        raise CommandError(
            f"A resize to {layout.wanted} is under way already. Finish it first with "
            f"`cerrojo resize {layout.wanted}`."
        )


def _check_policies(database: psycopg.Connection[Any]) -> None:
    """Raise CommandError if the policies differ: a new partition begins with the newest."""
    policies = database.execute(
        "SELECT DISTINCT policy FROM topology, generate_series(0, partitions - 1) n"
        " LEFT JOIN partition_progress ON partition = n"
    ).fetchall()
    if len(policies) > 1 or policies == [(None,)]:
        raise CommandError(
            "Not all partitions have the same policy. Set it in all of them with "
            "`cerrojo policy`, once all of them have workers."
        )


def _present(kafka: AdminClient, topic: str) -> int:
    try:
        return len(describe(kafka, topic).partitions)
    except KafkaException as error:
        raise kafka_failed(error) from error


def _add_partitions(kafka: AdminClient, topic: str, wanted: int) -> None:
    if _present(kafka, topic) >= wanted:
        return
    try:
        new = kafka.create_partitions(
            [NewPartitions(topic, wanted)], request_timeout=ADMIN_TIMEOUT_SECONDS
        )
        answer(new[topic], ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise kafka_failed(error) from error


def _wait(database: psycopg.Connection[Any], wanted: int, progress: Progress) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while _layout(database).used < wanted:
        missing = database.execute(
            "SELECT n FROM generate_series(0, %s - 1) n"
            " LEFT JOIN partition_progress ON partition = n"
            " WHERE coalesce(layout, 0) < %s ORDER BY n",
            (wanted, wanted),
        ).fetchall()
        progress(wanted - len(missing), wanted)
        if time.monotonic() > until:
            raise CommandError(
                f"The workers of partitions {[number for (number,) in missing]} were not ready "
                f"within {WAIT_SECONDS:g} s. The resize goes on by itself once they are. GET "
                "/readyz of the gateway and of the workers says what is wrong with them."
            )
        time.sleep(POLL_SECONDS)
