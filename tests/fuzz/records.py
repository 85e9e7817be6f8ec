"""Broken records in the real topics of a running system."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from events.messages import (
    VERDICT_PARTITIONS,
    SetLayout,
    SetPolicy,
    UndecodableError,
    decode_attempts,
    decode_blocks,
    decode_sources,
    decode_verdicts,
)
from events.partitioner import partition_of
from events.signatures import Sealer, role_of
from events.signing_keys import KeyFile, Role
from events.topics import ATTEMPTS, BLOCKS, SOURCES, VERDICTS
from tests.acceptance.system import Client, RunningSystem
from tests.acceptance.system import run as run_scenario
from tests.fuzz.decoders import PARTITION, TARGETS
from tests.fuzz.finding import FoundError
from tests.fuzz.mutations import Mutator

LOGINS = "after-the-fuzz-"
"""What the names begin with that log in afterwards."""

DECIDED_SECONDS = 300.0
"""For all of them, on a busy machine: some make their batch be decided one by one."""

_DECODERS = {
    ATTEMPTS: decode_attempts,
    VERDICTS: decode_verdicts,
    BLOCKS: decode_blocks,
    SOURCES: decode_sources,
}
_ROLES: dict[str, Role] = {
    **{ATTEMPTS: "gateway", SOURCES: "gateway"},
    **{VERDICTS: "worker", BLOCKS: "worker"},
}
"""Who signs what is no message of any role."""

_EXAMPLES = {target.name: target.example for target in TARGETS}


def run(
    system: RunningSystem,
    kafka: str,
    seed: int,
    count: int,
    told: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Write so many; see that each is put aside or decided, and that every partition goes on.

    What is still a message is written to `attempts` only, and only if it concerns an account: a
    verdict, block or policy with a right signature is as good as a right one. Most are signed, so
    that they come to a decoder, and some of these changed afterwards. Raises :class:`FoundError`.
    """
    mutator = Mutator(f"{seed} records")
    written: Counter[str] = Counter()
    inputs: list[bytes] = []
    quarantined, audited = _rows(system)
    bad_before = _undecodable(system)
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            errors.append(error)

    keys = KeyFile(system.signing_keys, "workers")  # which have those of all roles
    sealers = {topic: Sealer(keys, topic) for topic in _ROLES}
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20})
    partitions = {ATTEMPTS: system.partitions, VERDICTS: VERDICT_PARTITIONS, BLOCKS: 1, SOURCES: 1}
    for topic, share in ((ATTEMPTS, 0.8), (VERDICTS, 0.1), (BLOCKS, 0.05), (SOURCES, 0.05)):
        for number in range(round(count * share)):
            value, is_message = _value(mutator, topic)
            partition = number % partitions[topic]
            if is_message and mutator.random.random() < 0.5:
                # In the others nobody writes these.
                partition = PARTITION % partitions[topic]
            key = mutator.random.choice((b"anna", b"", b"\xff\0", None, value[:40]))
            role = role_of(value) or _ROLES[topic]
            now_ms = round(time.time() * 1000)
            value = _envelope(
                mutator, value, sealers[topic].seal(role, value, partition, key, now_ms)
            )
            if mutator.random.random() < 0.01:  # of which each has some 64 KB
                key, is_message = b"k" * mutator.random.choice((65_534, 65_535, 65_536)), False
            producer.produce(topic, value, key, partition, on_delivery=delivered)
            producer.poll(0)
            written[f"{topic}, {'messages' if is_message else 'none'}"] += 1
            inputs.append(value)
            told(1)
    producer.flush(60)
    if errors:
        raise FoundError("records", inputs, f"Kafka did not take a record: {errors[0]}")
    try:
        run_scenario(system, lambda client: _every_partition_decides(client, system.partitions))
    except (TimeoutError, AssertionError, OSError) as error:
        raise FoundError("records", inputs, f"a partition is stuck: {error!r}") from error
    expected = written[f"{ATTEMPTS}, messages"] + written[f"{ATTEMPTS}, none"]
    until = time.monotonic() + DECIDED_SECONDS
    while sum(now := _rows(system)) < quarantined + audited + expected:
        if time.monotonic() > until:
            raise FoundError("records", inputs, f"of {expected} records, {now} rows came")
    put_aside, decided = now[0] - quarantined, now[1] - audited
    if put_aside + decided != expected or put_aside < written[f"{ATTEMPTS}, none"]:
        what = f"{expected} records are {put_aside} put aside and {decided} decided, of {written}"
        raise FoundError("records", inputs, what)
    none_of = {topic: written[f"{topic}, none"] for topic in (BLOCKS, SOURCES)}
    for topic, least in (*none_of.items(), (VERDICTS, 1)):
        while _undecodable(system)[topic] - bad_before[topic] < least:  # each reads when it can
            if time.monotonic() > until:
                raise FoundError("records", inputs, f"the undecodable of {topic} were not counted")
    written["put aside"], written["decided"] = put_aside, decided
    return written


def _envelope(mutator: Mutator, value: bytes, sealed: bytes) -> bytes:
    """Mostly the signed one; else that, changed, or none."""
    chance = mutator.random.random()
    if chance < 0.7:
        return sealed
    return mutator.bytes(sealed) if chance < 0.9 else value


def _value(mutator: Mutator, topic: str) -> tuple[bytes, bool]:
    """A value for this topic, and whether it is a message."""
    while True:
        value = mutator.message(_EXAMPLES[topic](mutator.random))
        try:
            message = _DECODERS[topic](value)
        except UndecodableError:
            return value, False
        if topic == ATTEMPTS and not isinstance(message, SetPolicy | SetLayout):
            return value, True


async def _every_partition_decides(client: Client, partitions: int) -> None:
    """A login in each; its verdict comes after all that was written before it."""
    tag = f"{time.monotonic_ns():x}"
    names = (f"{LOGINS}{tag}-{number}" for number in range(1_000))
    users = {partition_of(name, partitions): name for name in names}
    assert len(users) == partitions
    for user in users.values():
        until = time.monotonic() + DECIDED_SECONDS
        while (answer := await client.login(user, "a wrong password")).status == 503:
            assert time.monotonic() < until, f"{user}: {answer}"
        assert answer.status == 401, answer


def _rows(system: RunningSystem) -> tuple[int, int]:
    """How many records were put aside and how many decided, but for the logins afterwards."""
    [(put_aside, decided)] = system.query(
        "SELECT (SELECT count(*) FROM quarantine),"
        " (SELECT count(*) FROM audit WHERE NOT starts_with(username, %s))",
        LOGINS,
    )
    return put_aside, decided


def _undecodable(system: RunningSystem) -> Counter[str]:
    """How many records of each topic gateways could not read, or did not believe."""
    counts: Counter[str] = Counter()
    for series, value in system.metrics().items():
        if series.startswith(("cerrojo_undecodable", "cerrojo_refused_records_total")):
            for topic in (BLOCKS, SOURCES, VERDICTS):
                counts[topic] += int(value) if f'"{topic}"' in series else 0
    return counts
