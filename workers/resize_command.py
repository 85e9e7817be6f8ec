"""`python -m workers resize`: use more partitions, while logins go on (see `workers.layout`)."""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions

from events.clients import connection
from events.messages import MOST_PARTITIONS
from events.topics import ATTEMPTS, TIMEOUT, describe
from settings import Settings
from sql.topology import only_command

WAIT_SECONDS = 60.0
"""For all partitions to have a worker and to enter the layout; usually it takes five."""

LOOK_SECONDS = 0.1


class ResizeCommandError(Exception):
    """The partitions did not become more, or not yet; the message says why, and what to do."""


class _Layout(NamedTuple):
    """What Postgres says of the partitions."""

    used: int
    wanted: int
    """More than ``used`` while a resize is under way."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; without a number the present one is shown."""
    parser.add_argument(
        "partitions", type=int, nargs="?", help="how many are to be used; never fewer than before"
    )


def run(settings: Settings, arguments: argparse.Namespace) -> str:
    """Carry the command out; what to print."""
    kafka = AdminClient(connection(settings.require_kafka()))
    with psycopg.connect(settings.require_database(), autocommit=True) as database:
        layout = _layout(database)
        if arguments.partitions is None:
            return _describe(layout, _present(kafka))
        wanted = arguments.partitions
        _check(layout, wanted)
        if wanted == layout.used:
            return _describe(layout, _present(kafka))
        with only_command(database) as alone:
            if not alone:
                raise ResizeCommandError(
                    "Somebody changes the policy or the partitions at this moment. Say it again."
                )
            _check_policies(database)
            _add_partitions(kafka, wanted)
            database.execute("UPDATE topology SET wanted = greatest(wanted, %s)", (wanted,))
            _wait(database, wanted)
        return _describe(_layout(database), _present(kafka))


def _layout(database: psycopg.Connection[Any]) -> _Layout:
    row = database.execute("SELECT partitions, wanted FROM topology").fetchone()
    if row is None:
        raise ResizeCommandError(
            "The number of partitions is not settled yet; `python -m events` does it."
        )
    return _Layout(*row)


def _check(layout: _Layout, wanted: int) -> None:
    if wanted < layout.used:
        raise ResizeCommandError(
            f"{layout.used} partitions are used, and they never become fewer: {wanted} would leave "
            "attempts in partitions that nobody reads."
        )
    if wanted > MOST_PARTITIONS:
        raise ResizeCommandError(f"{wanted} partitions are more than {MOST_PARTITIONS}, the most.")
    if layout.wanted > layout.used and wanted != layout.wanted:
        raise ResizeCommandError(
            f"They are becoming {layout.wanted} already. Finish that first: "
            f"`python -m workers resize {layout.wanted}`."
        )


def _check_policies(database: psycopg.Connection[Any]) -> None:
    """A new partition begins with the newest policy, so it must be everybody's."""
    policies = database.execute(
        "SELECT DISTINCT policy FROM topology, generate_series(0, partitions - 1) n"
        " LEFT JOIN partition_progress ON partition = n"
    ).fetchall()
    if len(policies) > 1 or policies == [(None,)]:
        raise ResizeCommandError(
            "Not all partitions have the same policy. `python -m workers policy` puts it right, "
            "once all of them have workers."
        )


def _present(kafka: AdminClient) -> int:
    try:
        return len(describe(kafka, ATTEMPTS).partitions)
    except KafkaException as error:
        raise _kafka_failed(error) from error


def _add_partitions(kafka: AdminClient, wanted: int) -> None:
    if _present(kafka) >= wanted:
        return
    try:
        new = kafka.create_partitions([NewPartitions(ATTEMPTS, wanted)], request_timeout=TIMEOUT)
        new[ATTEMPTS].result()
    except KafkaException as error:
        raise _kafka_failed(error) from error


def _wait(database: psycopg.Connection[Any], wanted: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while _layout(database).used < wanted:
        if time.monotonic() > until:
            missing = database.execute(
                "SELECT n FROM generate_series(0, %s - 1) n"
                " LEFT JOIN partition_progress ON partition = n"
                " WHERE coalesce(layout, 0) < %s ORDER BY n",
                (wanted, wanted),
            ).fetchall()
            raise ResizeCommandError(
                f"It waits for the workers of partitions {[number for (number,) in missing]} since "
                f"{WAIT_SECONDS:g} s, and goes on by itself once they are there. GET /readyz of "
                "the gateway and of the workers says what is wrong with them."
            )
        time.sleep(LOOK_SECONDS)


def _describe(layout: _Layout, present: int) -> str:
    said = f"{layout.used} partitions of {ATTEMPTS} are used"
    if layout.wanted > layout.used:
        said += f", and they are becoming {layout.wanted}"
    if present > max(layout):
        said += f"; {present - max(layout)} more in the topic stay unused"
    return said + "."


def _kafka_failed(error: KafkaException) -> ResizeCommandError:
    return ResizeCommandError(f"Kafka failed: {error.args[0].str()}. Say it again.")
