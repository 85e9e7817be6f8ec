"""Keys that sign records are replaced while people log in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import get_args

from confluent_kafka import TopicPartition

from events.partitioner import partition_of
from events.signing_keys import Role, new_key, parse, retire, sign_with
from events.topics import ATTEMPTS, BLOCKS
from tests.acceptance.system import Client, RunningSystem, run
from tests.kafka import reader

USER, PASSWORD = "rotation", "a password that is right"

ENOUGH = 60
"""So many records in a row are by all processes that sign."""


def signers(kafka: str, topic: str, partition: int, count: int) -> set[bytes]:
    """The ids of the keys of the last records of a partition."""
    consumer = reader(kafka)
    here = TopicPartition(topic, partition)
    bounds = consumer.get_watermark_offsets(here, timeout=10)
    assert bounds is not None
    here.offset = max(bounds[0], bounds[1] - count)
    consumer.assign([here])
    found: list[bytes] = []
    while len(found) < bounds[1] - here.offset:
        found += [message.value()[1:5] for message in consumer.consume(count, 1)]  # type: ignore[index]
    consumer.close()
    return set(found)


def test_keys_are_replaced_without_a_stop(system: RunningSystem, kafka: str) -> None:
    """Of every role, in three steps; no login is refused meanwhile, and no record."""
    folder = system.signing_keys

    def refused() -> float:
        pages = (system.metrics(), system.metrics(system.workers_url))
        return sum(
            value
            for page in pages
            for name, value in page.items()
            if name.startswith(("cerrojo_refused_records_total", "cerrojo_quarantined_total"))
        )

    async def scenario(client: Client) -> None:
        await client.register(USER, PASSWORD)
        await asyncio.to_thread(system.wait_for_all_counted)
        before, partition = refused(), partition_of(USER, system.partitions)
        old = {key.role: key.id for key in parse((folder / "workers.json").read_bytes())}
        new = {role: new_key(folder, role) for role in get_args(Role)}
        for key_id in new.values():
            sign_with(folder, key_id)

        async def logins(until: Callable[[], bool]) -> None:
            while not until():
                answers = await asyncio.gather(*(client.login(USER, PASSWORD) for _ in range(10)))
                assert {answer.status for answer in answers} == {200}

        def all_sign_anew() -> bool:
            here = signers(kafka, ATTEMPTS, partition, ENOUGH)
            news = signers(kafka, BLOCKS, 0, ENOUGH)
            return here == {bytes.fromhex(new["gateway"])} and news == {
                bytes.fromhex(new["worker"])
            }

        await logins(all_sign_anew)
        for key_id in old.values():
            retire(folder, key_id, round(time.time() * 1000))
        await logins(iter([False] * 5 + [True]).__next__)
        assert refused() == before
        for url in (system.operator_url, system.workers_url):
            assert system.metrics(url)["cerrojo_signing"] == 1

    run(system, scenario)
