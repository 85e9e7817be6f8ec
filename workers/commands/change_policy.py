"""Show the policy, or append a new one to every partition's log."""

from __future__ import annotations

import math
import os
import pwd
import socket
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from msgspec import Struct

from events import reasons
from events.clients import assigned_consumer, client_options, end_offset
from events.messages import (
    LONGEST_OPERATOR,
    POLICY_LIMITS,
    VERDICT_PARTITIONS,
    Decision,
    Policy,
    SetPolicy,
    UndecodableError,
    decode_verdicts,
    encode,
    new_id,
)
from events.signatures import Opener, Sealer
from events.signing_keys import SETTING, key_file
from events.topics import ATTEMPTS, VERDICTS
from settings import Settings
from sql.connection import connection_options
from sql.topology import exclusive_command
from workers.commands.errors import (
    CommandError,
    CommandUsageError,
    kafka_failed,
    reach_kafka,
)

WAIT_SECONDS = 15.0
"""How long to wait for verdicts: longer than the partitions of a killed host have no owner."""


class InForce(Struct):
    """The newest policy, and where it is in force."""

    policy: Policy
    partitions: int
    """The number of those that are used."""
    behind: list[int]
    """The partitions where it is not in force yet."""

    def __str__(self) -> str:
        """The same for people."""
        if not self.behind:
            return f"In force in {self.partitions} partitions. {describe(self.policy)}"
        return (
            f"{describe(self.policy)} It is not in force yet in partitions {self.behind}. It "
            "comes into force there when their workers run; otherwise run the command again with "
            "its options."
        )


def run(
    settings: Settings,
    changes: Mapping[str, int | str],
    reason: str | None = None,
    made_from: int | None = None,
) -> InForce:
    """Put a policy with these changes into every log; without any, only say what is in force.

    The changes are by the names of the policy's fields. The audit has the name of this process'
    user beside each, and the reason. ``made_from`` is the version of the policy that somebody
    looked at for these changes; None: whichever is in force. Raises :class:`CommandError`, also
    where another one is in force meanwhile, ``SettingsError`` or ``psycopg.Error``.
    """
    database_url = settings.require_database()
    with (
        psycopg.connect(database_url, autocommit=True, **connection_options("policy")) as database,
        exclusive_command(database) as exclusive,
    ):
        policies = _policies(database)
        newest = max(policies.values(), key=lambda policy: policy.version)
        wanted = msgspec.structs.replace(newest, **changes)
        behind = [number for number, policy in policies.items() if policy != newest]
        if not changes or (wanted == newest and not behind):
            return InForce(newest, len(policies), behind)
        if wanted != newest and made_from not in (None, newest.version):
            raise CommandError(
                f"Policy {newest.version} is in force, and this one was made from policy "
                f"{made_from}: it would undo the changes since. `cerrojo policy` shows what is in "
                "force and, with options, puts single values into force; `cerrojo shadow begin` "
                "tries others beside it."
            )
        if not exclusive or _is_resizing(database):
            raise CommandError(
                "Another command is changing the policy or the partitions. Run the command again "
                "when that is done; `cerrojo resize` shows it."
            )
        wanted = msgspec.structs.replace(wanted, version=newest.version + 1)
        _put_into_logs(settings, list(policies), wanted, reason)
    return InForce(wanted, len(policies), [])


def checked_reason(reason: str) -> str | None:
    """The same as the log may have it; None for an empty one. Raises CommandUsageError."""
    try:
        return reasons.checked_reason(reason)
    except ValueError as error:
        raise CommandUsageError(f"--reason {error}.") from None


def in_ms(option: str, value: float | None, unit_seconds: float = 1.0) -> int | None:
    """So many of a unit in milliseconds. Raises CommandUsageError for what is no number."""
    if value is None:
        return None
    if not math.isfinite(value):
        raise CommandUsageError(f"{option} is {value}. Give a number.")
    return round(value * unit_seconds * 1000)


def check(changes: Mapping[str, int]) -> None:
    """Raise CommandUsageError where a field of a policy may not have this value."""
    for name, value in changes.items():
        least, most = POLICY_LIMITS[name]
        if not least <= value <= most:
            option = name.removesuffix("_ms").removesuffix("_failures").replace("_", "-")
            unit = " ms" if name.endswith("_ms") else ""
            raise CommandUsageError(
                f"--{option} must be from {least} to {most}{unit}, and is {value}."
            )


def _policies(database: psycopg.Connection[Any]) -> dict[int, Policy]:
    rows = database.execute(
        "SELECT n, policy FROM topology, generate_series(0, partitions - 1) n"
        " LEFT JOIN partition_progress ON partition = n ORDER BY n"
    ).fetchall()
    without = [number for number, policy in rows if policy is None]
    if without or not rows:
        raise CommandError(
            f"Partitions without a policy: {without or 'all'}. They get their first policy from "
            "CERROJO_POLICY_... when their workers start. Start `python -m workers` first."
        )
    return {number: msgspec.convert(policy, Policy) for number, policy in rows}


def _is_resizing(database: psycopg.Connection[Any]) -> bool:
    """Whether partitions are being added; they begin with the policy as it is."""
    row = database.execute("SELECT wanted > partitions FROM topology").fetchone()
    return row is not None and bool(row[0])


def _put_into_logs(
    settings: Settings, partitions: list[int], policy: Policy, reason: str | None
) -> None:
    operator = this_user()
    keys = key_file(settings, "workers")
    reach_kafka(settings)  # it says why the brokers refuse, as no timeout does
    consumer = assigned_consumer(settings, {"enable.partition.eof": True})
    topic = settings.prefixed(ATTEMPTS)
    sealer = Sealer(keys, topic)
    opener = Opener(keys, settings.prefixed(VERDICTS), settings.unsigned_until_ms)
    reply = TopicPartition(settings.prefixed(VERDICTS), time.time_ns() % VERDICT_PARTITIONS)
    producer = Producer(client_options(settings) | {"acks": "all", "enable.idempotence": True})
    waiting = {}
    in_log: set[int] = set()

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            in_log.add(message.partition() or 0)

    try:
        reply.offset = end_offset(consumer, reply.topic, reply.partition, WAIT_SECONDS)
        consumer.assign([reply])
        _check_readable(consumer, reply.topic)
        for partition in partitions:
            request = SetPolicy(new_id(), reply.partition, policy, operator, reason)
            value = sealer.seal("policy", encode(request), partition)
            producer.produce(topic, value, partition=partition, on_delivery=delivered)
            waiting[request.id] = partition
        producer.flush(WAIT_SECONDS)
        refused = _wait(consumer, opener, waiting)
    except KafkaException as error:
        raise kafka_failed(error) from error
    finally:
        consumer.close()
    if lost := sorted(set(waiting.values()) - in_log):
        raise CommandError(
            f"Kafka did not accept the policy for partitions {lost} within {WAIT_SECONDS:g} s. "
            "Run the command again with its options, until all of them have it."
        )
    if waiting:
        raise CommandError(
            f"No verdict came from partitions {sorted(waiting.values())} within {WAIT_SECONDS:g} s."
            " The policy comes into force there when their workers are back. Check it then with "
            "`cerrojo policy`."
            + ("" if keys else f" If the workers have {SETTING}, this command needs it, too.")
        )
    if refused:
        raise CommandError(
            f"Another policy came first in partitions {refused}. See it with `cerrojo "
            "policy`, then run the command again."
        )


def _check_readable(consumer: Consumer, topic: str) -> None:
    """Raise CommandError where Kafka refuses to let this client read what it is assigned."""
    message = consumer.poll(WAIT_SECONDS)  # at its end there is an event, too
    error = message and message.error()
    if error and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise CommandError(
            f"This client may not read {topic}, where workers say whether a policy is in force, so "
            "nothing was changed. Give its principal READ on that topic; docs/rights.md has the "
            "rights of commands."
        )


def this_user() -> str:
    """Who runs this process, as this host knows them."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:LONGEST_OPERATOR]


def _wait(consumer: Consumer, opener: Opener, waiting: dict[bytes, int]) -> list[int]:
    refused = []
    until = time.monotonic() + WAIT_SECONDS
    while waiting and time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is None or message.error() is not None:
            continue
        try:
            verdicts = decode_verdicts(opener.open_record(message))
        except UndecodableError:
            continue  # nobody honest wrote it
        for verdict in verdicts:
            partition = waiting.pop(verdict.id, None)
            if partition is not None and verdict.decision != Decision.ACCEPTED:
                refused.append(partition)
    return refused


def describe(policy: Policy) -> str:
    """A policy for people, in a sentence."""
    block = (
        f"for {policy.block_ms / 1000:g} s, doubling up to {policy.block_max_ms / 1000:g} s"
        if policy.block_ms
        else "until an operator lifts it"
    )
    final = (
        f"; after {policy.final_failures} wrong ones in a row only an operator lifts the block"
        if policy.final_failures and policy.block_ms
        else ""
    )
    forget = (
        f"; all is forgotten {policy.forget_ms / 86_400_000:g} days after the last wrong one"
        if policy.forget_ms
        else ""
    )
    if policy.forget_each_ms:
        days = policy.forget_each_ms / 86_400_000
        forget += f"; n wrong ones in a row are forgotten after n times {days:g} days"
    wrong = "different wrong" if policy.repeated_guesses == "ignore" else "wrong"
    return (
        f"Policy {policy.version}: {policy.threshold} {wrong} passwords within "
        f"{policy.window_ms / 1000:g} s block an account {block}{final}{forget}."
    )
