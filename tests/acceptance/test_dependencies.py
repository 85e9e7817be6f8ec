"""Kafka or Postgres away, frozen, slow, or out of disk: refused in time, right afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from events.messages import Decision
from events.topics import ATTEMPTS, TOPICS, create_topics
from tests.acceptance.outage import Guess, Guessing, Outage
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, run
from tests.harness.waiting import until
from tests.kafka import remove_topics

DEADLINE_SECONDS = 2.0
BUSY_SECONDS = 8.0  # by which an answer may be late on a machine that does other things, too
PATIENCE_SECONDS = 180.0
CLIENTS = 24
GROWTH = 48 * 2**20  # bytes

ACCEPTED, REJECTED = 0, 1


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Outage]:
    """A Kafka and a Postgres of this module's own."""
    with Outage(tmp_path_factory.mktemp("o"), cache_dir) as both:
        yield both


@pytest.fixture(scope="module")
def system(outage: Outage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system that uses them, Postgres through the proxy."""
    started = RunningSystem(
        outage.bootstrap_servers,
        outage.database_url,
        tmp_path_factory.mktemp("system"),
        {
            **CHEAPEST,
            "DATABASE_URL": outage.proxied_url,
            "CERROJO_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
            "CERROJO_LOG_FORMAT": "json",
        },
    )
    started.start()
    yield started
    started.stop()


@contextmanager
def kafka_frozen(outage: Outage) -> Iterator[None]:
    """The broker stands still."""
    outage.kafka.freeze()
    yield
    outage.kafka.thaw()


@contextmanager
def kafka_away(outage: Outage) -> Iterator[None]:
    """`kill -9` of the broker, which comes back when it is told to."""
    outage.kafka.kill()
    yield
    outage.kafka.start()


@contextmanager
def kafka_disk_full(outage: Outage) -> Iterator[None]:
    """The broker cannot write."""
    outage.kafka.fill_disk()
    yield
    outage.kafka.free_disk()


@contextmanager
def postgres_frozen(outage: Outage) -> Iterator[None]:
    """All processes of the database stand still."""
    outage.postgres.freeze()
    yield
    outage.postgres.thaw()


@contextmanager
def postgres_away(outage: Outage) -> Iterator[None]:
    """`kill -9` of the database, which comes back when it is told to."""
    outage.postgres.kill()
    yield
    outage.postgres.start()


@contextmanager
def postgres_disk_full(outage: Outage) -> Iterator[None]:
    """The database cannot write."""
    outage.postgres.fill_disk()
    yield
    outage.postgres.free_disk()


@contextmanager
def postgres_deaf(outage: Outage) -> Iterator[None]:
    """All that is sent to the database or by it is lost on the way."""
    outage.proxy.deaf = True
    yield
    outage.proxy.deaf = False
    outage.proxy.cut()  # a connection that has lost bytes is of no use to anybody


@contextmanager
def postgres_breaking(outage: Outage) -> Iterator[None]:
    """Every connection to the database breaks, and new ones, too."""
    outage.proxy.breaking = True
    outage.proxy.cut()
    yield
    outage.proxy.breaking = False


@contextmanager
def kafka_slow(outage: Outage) -> Iterator[None]:
    """The broker runs for a tenth of a second out of every half."""
    healed = threading.Event()

    def stutter() -> None:
        while not healed.wait(0.1):
            outage.kafka.freeze()
            healed.wait(0.4)
            outage.kafka.thaw()

    thread = threading.Thread(target=stutter)
    thread.start()
    yield
    healed.set()
    thread.join()


@contextmanager
def postgres_slow(outage: Outage) -> Iterator[None]:
    """Every piece that goes to the database or comes from it is late."""
    outage.proxy.delay = 0.15
    yield
    outage.proxy.delay = 0.0


Fault = Callable[[Outage], AbstractContextManager[None]]


def refused(guess: Guess) -> bool:
    """Not decided in time."""
    return guess.status == 503


def decided(guess: Guess) -> bool:
    """As it should be."""
    return guess.status == 401


def assert_as_the_log_has_it(system: RunningSystem, guesses: list[Guess]) -> None:
    """Each was counted once if it was answered, and at most once if not.

    One that librdkafka wrote twice is in the log once more, and nothing was decided there.
    """
    assert {guess.status for guess in guesses} <= {401, 503}
    rows: dict[str, list[int]] = {}
    for user, decision in system.query("SELECT username, decision FROM audit"):
        if decision != Decision.REPEATED:
            rows.setdefault(user, []).append(decision)
    for guess in guesses:
        held = rows.get(guess.user, [])
        assert held == [REJECTED] or (refused(guess) and not held), (guess, held)


def memory(system: RunningSystem) -> dict[int, int]:
    """Resident bytes of each login process."""
    return {pid: psutil.Process(pid).memory_info().rss for pid in system.pids("gateway login")}


def break_it(outage: Outage, system: RunningSystem, fault: Fault, enough: Callable[[Guess], bool]):
    """Guess before, during and after a fault, and assert what must hold of each."""

    async def scenario(client: Client) -> None:
        async with Guessing(client, fault.__name__.replace("_", "-"), CLIENTS) as guessing:
            await guessing.until(decided, 2 * CLIENTS, PATIENCE_SECONDS)
            before = memory(system)
            broken = fault(outage)
            await asyncio.to_thread(broken.__enter__)
            try:
                await guessing.until(enough, 3 * CLIENTS, PATIENCE_SECONDS)
                after = memory(system)
            finally:
                await asyncio.to_thread(broken.__exit__, None, None, None)
            await guessing.until(decided, 4 * CLIENTS, PATIENCE_SECONDS)
        assert before.keys() == after.keys(), "a gateway process has died of it"
        assert all(after[pid] - before[pid] < GROWTH for pid in before), (before, after)
        longest = max(guess.seconds for guess in guessing.guesses)
        assert longest < DEADLINE_SECONDS + BUSY_SECONDS + guessing.stood_still
        await asyncio.to_thread(system.wait_for_all_decided)
        assert_as_the_log_has_it(system, guessing.guesses)

    run(system, scenario, patient=False)


@contextmanager
def topics_gone(outage: Outage) -> Iterator[None]:
    """All topics but the log are deleted, and made anew later."""
    admin = AdminClient({"bootstrap.servers": outage.bootstrap_servers})
    remove_topics(admin, *set(TOPICS) - {ATTEMPTS})
    yield
    create_topics(admin, partitions=4, replication=1)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(topics_gone, marks=pytest.mark.slow),
        kafka_frozen,
        kafka_away,
        kafka_disk_full,
        postgres_frozen,
        postgres_away,
        postgres_disk_full,
        postgres_deaf,
        postgres_breaking,
    ],
    ids=lambda fault: fault.__name__.replace("_", " "),
)
def test_what_is_away_is_answered_with_503(outage: Outage, system: RunningSystem, fault: Fault):
    """In time, without growing, and never with a verdict that the log does not hold."""
    break_it(outage, system, fault, refused)


@pytest.mark.parametrize(
    "fault", [kafka_slow, postgres_slow], ids=lambda fault: fault.__name__.replace("_", " ")
)
def test_what_is_slow_decides_as_far_as_it_can(outage: Outage, system: RunningSystem, fault: Fault):
    """Some are decided, some perhaps refused, none is counted in a way that was not said."""
    break_it(outage, system, fault, lambda guess: True)


def test_a_log_that_lost_its_tail_is_written_on(outage: Outage, system: RunningSystem):
    """The broker forgot what was acknowledged: nothing is decided twice, and logins work again."""

    def lose_the_tail() -> None:
        outage.kafka.kill()
        segments = list(outage.kafka.folder.glob(f"data/kafka/data/{ATTEMPTS}-*/*.log"))
        assert len(segments) == 4
        for segment in segments:
            os.truncate(segment, segment.stat().st_size // 2)
        outage.kafka.start()

    async def scenario(client: Client) -> None:
        async with Guessing(client, "before-the-loss", CLIENTS) as before:
            await before.until(decided, 2 * CLIENTS, PATIENCE_SECONDS)
        await asyncio.to_thread(lose_the_tail)
        async with Guessing(client, "after-the-loss", CLIENTS) as after:
            await after.until(decided, 4 * CLIENTS, PATIENCE_SECONDS)
        await asyncio.to_thread(system.wait_for_all_decided)
        assert_as_the_log_has_it(system, before.guesses + after.guesses)

    run(system, scenario, patient=False)


def test_a_guess_whose_fate_is_unknown_counts_once(outage: Outage, system: RunningSystem):
    """Refused with 503 as its worker stands still, then decided, and not again."""

    async def scenario(client: Client) -> None:
        await client.register("unknown-fate", "the right password")
        await asyncio.to_thread(system.wait_for_all_ready)
        system.signal("worker partition", signal.SIGSTOP)
        try:
            answer = await client.login("unknown-fate", "a wrong password")
        finally:
            system.signal("worker partition", signal.SIGCONT)
        assert answer.status == 503
        assert answer.retry_after >= 1
        await asyncio.to_thread(system.wait_for_all_decided)
        await asyncio.to_thread(system.wait_for_all_ready)
        assert system.query(
            "SELECT right_password, decision FROM audit"
            " WHERE username = 'unknown-fate' AND kind = 'attempt'"
        ) == [(False, REJECTED)]
        # It was the first of five. With a key, what no verdict came for in time is asked for again.
        said = []
        for number in range(5):
            answer = await until(
                partial(client.attempt, "unknown-fate", "wrong", key=f"guess-{number}"),
                lambda answer: answer.status != 503,
            )
            said.append(answer.body["verdict"])
        assert said == ["rejected"] * 4 + ["blocked"]

    run(system, scenario, patient=False)


def test_every_line_of_all_that_trouble_is_json(system: RunningSystem) -> None:
    """Also those of libraries, and librdkafka's: whatever takes the lines in takes nothing else.

    The last test here: before it, every process has met everything that goes wrong above.
    """
    lines = [json.loads(line) for line in system.logs().splitlines()]
    assert len(lines) > 10
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    assert any("Kafka" in line["event"] for line in lines)
