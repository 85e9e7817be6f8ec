"""`python -m workers policy`: show the policy of every partition, or put a new one into its log."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import msgspec
import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from events.clients import connection
from events.messages import (
    VERDICT_PARTITIONS,
    Decision,
    Policy,
    SetPolicy,
    decode_verdict,
    encode,
    new_id,
)
from events.topics import ATTEMPTS, VERDICTS
from settings import CENTURY, Settings
from sql.topology import only_command

WAIT_SECONDS = 15.0
"""For the workers' verdicts; longer than a killed host's partitions are without an owner."""


LIMITS = {
    "threshold": (1, 100),
    "window_ms": (1, 86_400_000),
    "block_ms": (0, round(CENTURY * 1000)),
    "block_max_ms": (0, round(CENTURY * 1000)),
    "final_failures": (0, 1_000_000),
    "forget_ms": (0, round(CENTURY * 1000)),
}
"""The same as of the settings for the first policy."""


class PolicyCommandError(Exception):
    """The policy was not changed everywhere; the message says where not, and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; what is not given stays as it is."""
    parser.add_argument("--threshold", type=int, help="wrong passwords that block an account")
    parser.add_argument(
        "--window", type=number, help="... if they fall within this time, in seconds"
    )
    parser.add_argument(
        "--block", type=number, help="first block in seconds; 0: until an operator lifts it"
    )
    parser.add_argument("--block-max", type=number, help="blocks double up to this, in seconds")
    parser.add_argument(
        "--final", type=int, help="wrong ones in a row that only an operator forgives; 0: never"
    )
    parser.add_argument(
        "--forget", type=number, help="days after the last wrong one when none counts; 0: never"
    )


def run(settings: Settings, arguments: argparse.Namespace) -> str:
    """Carry the command out; what to print."""
    database_url = settings.require_database()
    with (
        psycopg.connect(database_url, autocommit=True) as database,
        only_command(database) as alone,
    ):
        policies = _policies(database)
        newest = max(policies.values(), key=lambda policy: policy.version)
        changes = _changes(arguments)
        wanted = msgspec.structs.replace(newest, **changes)
        behind = [number for number, policy in policies.items() if policy != newest]
        if wanted == newest and not behind:
            return _describe(newest)
        if not changes:
            return (
                f"{_describe(newest)} It is not in force yet in partitions {behind}. If it does "
                "not come into force there with their workers, say it again with its options."
            )
        if not alone or _is_growing(database):
            raise PolicyCommandError(
                "Somebody changes the policy or the partitions at this moment. Say it again when "
                "that is done; `python -m workers resize` shows it."
            )
        wanted = msgspec.structs.replace(wanted, version=newest.version + 1)
        _put_into_logs(settings.require_kafka(), list(policies), wanted)
    return f"In force in {len(policies)} partitions. " + _describe(wanted)


def _policies(database: psycopg.Connection[Any]) -> dict[int, Policy]:
    rows = database.execute(
        "SELECT n, policy FROM topology, generate_series(0, partitions - 1) n"
        " LEFT JOIN partition_progress ON partition = n ORDER BY n"
    ).fetchall()
    without = [number for number, policy in rows if policy is None]
    if without or not rows:
        raise PolicyCommandError(
            f"Partitions without a policy: {without or 'all'}. They get their first one from "
            "CERROJO_POLICY_... when their workers start; start `python -m workers` first."
        )
    return {number: msgspec.convert(policy, Policy) for number, policy in rows}


def _is_growing(database: psycopg.Connection[Any]) -> bool:
    """Whether there are partitions on the way, which begin with the policy as it is."""
    row = database.execute("SELECT wanted > partitions FROM topology").fetchone()
    return row is not None and bool(row[0])


def _changes(arguments: argparse.Namespace) -> dict[str, int]:
    given = {
        "threshold": arguments.threshold,
        "window_ms": _ms(arguments.window),
        "block_ms": _ms(arguments.block),
        "block_max_ms": _ms(arguments.block_max),
        "final_failures": arguments.final,
        "forget_ms": _ms(arguments.forget and arguments.forget * 86_400),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        least, most = LIMITS[name]
        if not least <= value <= most:
            option = name.removesuffix("_ms").removesuffix("_failures").replace("_", "-")
            unit = " ms" if name.endswith("_ms") else ""
            raise PolicyCommandError(
                f"--{option} must be from {least} to {most}{unit}, and is {value}."
            )
    return changes


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def number(text: str) -> float:
    """A float that is a number, or ValueError."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _put_into_logs(bootstrap_servers: str, partitions: list[int], policy: Policy) -> None:
    consumer = Consumer(
        connection(bootstrap_servers)
        | {"group.id": "cerrojo-policy-unused", "auto.offset.reset": "error"}
    )
    reply = TopicPartition(VERDICTS, time.time_ns() % VERDICT_PARTITIONS)
    bounds = consumer.get_watermark_offsets(reply, timeout=WAIT_SECONDS)
    if bounds is None:
        raise PolicyCommandError("Kafka did not answer in time, and nothing was changed.")
    reply.offset = bounds[1]
    consumer.assign([reply])
    producer = Producer(connection(bootstrap_servers) | {"acks": "all", "enable.idempotence": True})
    waiting = {}
    in_log: set[int] = set()

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            in_log.add(message.partition() or 0)

    try:
        for partition in partitions:
            request = SetPolicy(new_id(), reply.partition, policy)
            producer.produce(ATTEMPTS, encode(request), partition=partition, on_delivery=delivered)
            waiting[request.id] = partition
        producer.flush(WAIT_SECONDS)
        refused = _wait(consumer, waiting)
    except KafkaException as error:
        raise PolicyCommandError(f"Kafka failed: {error.args[0].str()}. Say it again.") from error
    finally:
        consumer.close()
    if lost := sorted(set(waiting.values()) - in_log):
        raise PolicyCommandError(
            f"Kafka did not take the policy for partitions {lost} within {WAIT_SECONDS:g} s. "
            "Say it again with its options, until all of them have it."
        )
    if waiting:
        raise PolicyCommandError(
            f"No verdict came from partitions {sorted(waiting.values())} within {WAIT_SECONDS:g} s;"
            " the policy holds there as soon as their workers are back. Show it again then."
        )
    if refused:
        raise PolicyCommandError(
            f"Another policy came first in partitions {refused}. Show it, and say yours again."
        )


def _wait(consumer: Consumer, waiting: dict[bytes, int]) -> list[int]:
    refused = []
    until = time.monotonic() + WAIT_SECONDS
    while waiting and time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is None or message.error() is not None:
            continue
        verdict = decode_verdict(message.value())
        partition = waiting.pop(verdict.id, None)
        if partition is not None and verdict.decision != Decision.ACCEPTED:
            refused.append(partition)
    return refused


def _describe(policy: Policy) -> str:
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
    return (
        f"Policy {policy.version}: {policy.threshold} wrong passwords within "
        f"{policy.window_ms / 1000:g} s block an account {block}{final}{forget}."
    )
