"""Processes that are stuck, crash, or are killed: found, replaced, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import aiohttp
import pytest

from events.messages import encode
from events.partitioner import partition_of
from gateway.blocklist.blocklist import FRESH_SECONDS
from tests.acceptance.conftest import StartSystem
from tests.acceptance.doubles import DEADLY, WEDGED, WEDGING
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, is_heard, run
from tests.harness.owner import put, wrong
from tests.harness.waiting import until

PASSWORD = "a long enough password"
KILLS = 8
PARTITIONS = 4


@pytest.fixture(scope="module")
def system(start_system: StartSystem, tmp_path_factory: pytest.TempPathFactory) -> RunningSystem:
    """A system whose workers some records can harm."""
    env = {
        **CHEAPEST,
        "CERROJO_DEADLINE_SECONDS": "10",
        "CERROJO_STUCK_SECONDS": "3",
        WEDGED: str(tmp_path_factory.mktemp("wedged") / "wedged"),
    }
    return start_system(env, workers="tests.acceptance.doubles", partitions=PARTITIONS)


def names(partition: int, prefix: str) -> Iterator[str]:
    """Users of this partition."""
    users = (f"{prefix}-{n}" for n in count())
    return (user for user in users if partition_of(user, PARTITIONS) == partition)


def test_a_gateway_that_stood_still_refuses_nobody_for_that(system: RunningSystem):
    """What waits in its sockets says that the workers live; what it had heard is too old."""
    users = [f"stalled-{number}" for number in range(12)]

    async def scenario(client: Client) -> None:
        for user in users:
            await client.register(user, PASSWORD)
        pids = system.signal("gateway login", signal.SIGSTOP)
        try:
            waiting = [asyncio.ensure_future(client.login(user, PASSWORD)) for user in users]
            # A heartbeat is too old by then, and the process is not taken for dead yet.
            await asyncio.sleep(FRESH_SECONDS + 0.5)
            assert not any(each.done() for each in waiting)
        finally:
            system.signal("gateway login", signal.SIGCONT)
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * len(users)
        assert system.pids("gateway login") == pids

    run(system, scenario, patient=False)


def readiness(system: RunningSystem) -> tuple[int, str]:
    """The answer of the workers' /readyz."""
    try:
        with urllib.request.urlopen(f"{system.workers_url}/readyz", timeout=10) as response:  # noqa: S310  # http
            return response.status, json.load(response)["parts"]["workers"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["parts"]["workers"]


def test_a_record_that_kills_its_worker_is_quarantined(system: RunningSystem):
    """After three deaths; clients that wait behind it are answered, and others notice nothing."""
    partition = partition_of(DEADLY, PARTITIONS)
    behind, other = (
        next(names(partition, "behind")),
        next(names((partition + 1) % PARTITIONS, "other")),
    )

    async def scenario(client: Client) -> None:
        await client.register(behind, PASSWORD)
        await client.register(other, PASSWORD)
        dying = asyncio.ensure_future(until(lambda: client.login(DEADLY, PASSWORD), is_heard))
        await until(
            lambda: asyncio.to_thread(system.logs), lambda logs: "did not shut down cleanly" in logs
        )
        await until(lambda: client.login(other, PASSWORD), lambda answer: answer.status == 200)
        # Without an owner that lives there is a 503 at once; how soon there is one is no claim.
        await until(lambda: client.login(behind, PASSWORD), lambda answer: answer.status == 200)
        assert (await dying).status == 503

    run(system, scenario, patient=False)
    [(where, reason)] = system.query("SELECT partition, reason FROM quarantine")
    assert where == partition
    assert reason == "the process died 3 times while it decided this record alone"
    system.wait_for_all_ready()


@pytest.mark.slow
def test_kills_under_load_quarantine_nothing(system: RunningSystem):
    """However many workers are killed while they decide records one by one."""
    before = system.query("SELECT count(*) FROM quarantine")

    async def load(client: Client, user: str, enough: asyncio.Event) -> None:
        while not enough.is_set():
            with suppress(aiohttp.ClientError):
                await client.login(user, PASSWORD)

    async def scenario(client: Client) -> None:
        users = [f"killed-{n}" for n in range(16)]
        for user in users:
            await client.register(user, PASSWORD)
        enough = asyncio.Event()
        clients = [asyncio.ensure_future(load(client, user, enough)) for user in users]
        for _ in range(KILLS):
            await asyncio.to_thread(system.wait_for_log, system.log_size() + 50, 30.0)
            system.kill("worker partition")
        await asyncio.to_thread(system.wait_for_all_ready)
        await asyncio.to_thread(system.wait_for_log, system.log_size() + 50, 30.0)
        enough.set()
        await asyncio.gather(*clients)

    alone = "are decided one by one"
    suspected = system.logs().count(alone)
    run(system, scenario)
    assert system.logs().count(alone) > suspected
    assert system.query("SELECT count(*) FROM quarantine") == before


def test_a_worker_whose_consumer_is_wedged_is_replaced(system: RunningSystem):
    """It lives and beats, and reads nothing: its offset stands still before a record."""
    system.wait_for_all_ready()
    old = system.pids(f"worker partition {partition_of(WEDGING, PARTITIONS)}")
    before = system.metrics(system.workers_url)["cerrojo_stuck_total"]

    async def scenario(client: Client) -> None:
        # Within the first one's deadline, if the machine is not too busy for that.
        await until(lambda: client.login(WEDGING, PASSWORD), lambda answer: answer.status == 401)

    run(system, scenario, patient=False)
    assert system.pids(f"worker partition {partition_of(WEDGING, PARTITIONS)}") != old
    assert system.metrics(system.workers_url)["cerrojo_stuck_total"] > before
    assert "A worker is alive but decides nothing" in system.logs()


def test_a_frozen_worker_is_replaced(system: RunningSystem):
    """By its silence, and a login that comes meanwhile is in the end answered again."""
    system.wait_for_all_ready()
    user = next(names(2, "frozen"))

    async def scenario(client: Client) -> None:
        await client.register(user, PASSWORD)
        old = system.signal("worker partition 2", signal.SIGSTOP)
        await until(
            lambda: asyncio.to_thread(system.pids, "worker partition 2"),
            lambda pids: bool(pids) and pids != old,
        )
        await asyncio.to_thread(system.wait_for_all_ready)
        await until(lambda: client.login(user, PASSWORD), lambda answer: answer.status == 200)

    run(system, scenario)
    assert not system.query("SELECT 1 FROM quarantine WHERE partition = 2")


def test_a_crash_loop_backs_off_is_seen_and_is_nobody_elses(system: RunningSystem, kafka: str):
    """The others go on; when its cause is repaired, it goes on too.

    Meanwhile its host says what waits there, and the gateway that nothing is heard from it.
    """
    system.wait_for_all_ready()
    own, other = next(names(3, "crash")), next(names(1, "calm"))

    async def metric(name: str) -> float | None:
        return system.metrics(system.workers_url).get(f'{name}{{partition="3"}}')

    waiting = partial(metric, "cerrojo_lag")

    async def scenario(client: Client) -> None:
        await client.register(own, PASSWORD)
        await client.register(other, PASSWORD)
        # The host goes by what the worker has said last.
        [(decided,)] = system.query(
            "SELECT next_offset FROM partition_progress WHERE partition = 3"
        )
        await until(partial(metric, "cerrojo_next_offset"), lambda offset: offset == decided)
        before = {n: system.pids(f"worker partition {n}") for n in (0, 1, 2)}
        policy = "UPDATE partition_progress SET policy = %s WHERE partition = 3 RETURNING partition"
        [(good,)] = system.query("SELECT policy::text FROM partition_progress WHERE partition = 3")
        [worker] = system.pids("worker partition 3")
        system.query(policy, "[]")
        with suppress(ProcessLookupError):  # one that claims again just now has read it already
            os.kill(worker, signal.SIGKILL)
        status, why = await until(
            lambda: asyncio.to_thread(readiness, system),
            lambda said: "worker partition 3 is backing off after" in said[1],
        )
        assert status == 503
        assert "partition 0" not in why
        await until(
            lambda: asyncio.to_thread(system.metrics, system.workers_url),
            lambda metrics: metrics['cerrojo_processes{state="other"}'] == 1,
        )
        put(kafka, system.signed(encode(wrong(own)), 3, own), partition=3, key=own.encode())
        await until(waiting, lambda lag: lag == 1)
        await until(
            lambda: asyncio.to_thread(system.metrics, system.operator_url),
            lambda metrics: metrics["cerrojo_view_partitions_silent"] == 1,
        )
        for _ in range(10):
            await until(lambda: client.login(other, PASSWORD), lambda answer: answer.status == 200)
        assert {n: system.pids(f"worker partition {n}") for n in before} == before
        system.query(policy, good)
        await asyncio.to_thread(system.wait_for_all_ready)
        await until(lambda: client.login(own, PASSWORD), lambda answer: answer.status == 200)
        await until(waiting, lambda lag: lag == 0)

    run(system, scenario)
