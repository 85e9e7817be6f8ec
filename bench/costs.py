"""`python -m bench.costs`: the cost of each part of the system, for `python -m bench.plan`.

It starts its own system and takes some minutes. The CPU of each part is read before and after a
known load, and divided by what the workers have decided meanwhile. Figures are of an otherwise
quiet machine, or of nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import string
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from confluent_kafka import Producer

from bench import accounts
from bench.client import Job, drive
from bench.errors import BenchError
from bench.extra import login_processes
from bench.harness import SIZES, warm
from bench.machine import commit, describe
from bench.plan_figures import RESULTS, Costs, save
from bench.system import CHEAPEST, Up, up
from events.messages import Attempt, encode, new_id
from events.partitioner import partition_of
from events.signatures import Sealer
from events.signing_keys import KeyFile
from events.topics import ATTEMPTS
from local.kafka_users import KafkaUsers

CLIENTS = 32
AMOUNTS = {"tiny": (0.0, 1.0, 20_000), "usual": (10.0, 8.0, 200_000)}
"""Seconds of logins again and again until Java is warm, those of each measurement; attempts of each
backlog."""
IDLE_SECONDS = 3.0
WRONG = 0.05  # of a backlog's attempts
DRAIN_SECONDS = 300.0

GATEWAY, WORKERS, KAFKA, LOOKUP, COMMIT = "gateway", "workers", "Kafka", "look-ups", "commits"


class Cost(NamedTuple):
    """The cost of a load."""

    attempts: int
    core_ms: dict[str, float]
    """Of each part, for each attempt."""
    rate: float
    """Attempts a second, while they were asked for."""


class Meter:
    """Reads what each part of the system has used."""

    def __init__(self, system: Up) -> None:
        self._system = system
        self._database = psycopg.connect(system.database_url, autocommit=True)
        self._idle: dict[str, float] = defaultdict(float)
        self._idle = self._rest()
        self.partitions = len(system.processes("worker partition"))

    def measure(self, work: Callable[[], float]) -> Cost:
        """The cost of this, which gives its rate, less what an idle system uses in that time."""
        before, decided, began = self._cpu(), self.decided(), time.monotonic()
        rate = work()
        seconds = time.monotonic() - began
        attempts = self.decided() - decided
        if attempts <= 0:
            raise BenchError("The workers decided nothing: see the log of a system by hand.")
        after = self._cpu()
        return Cost(
            attempts,
            {
                part: max(0.0, after[part] - before[part] - self._idle[part] * seconds)
                * 1000
                / attempts
                for part in (GATEWAY, WORKERS, KAFKA, LOOKUP, COMMIT)
            },
            rate,
        )

    def decided(self) -> int:
        """How many attempts the workers have decided, ever."""
        row = self._database.execute("SELECT sum(next_offset) FROM partition_progress").fetchone()
        return int(row[0]) if row else 0

    def _rest(self) -> dict[str, float]:
        before = self._cpu()
        time.sleep(IDLE_SECONDS)
        after = self._cpu()
        return {part: (after[part] - before[part]) / IDLE_SECONDS for part in after}

    def _cpu(self) -> dict[str, float]:
        gateways = self._database.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'cerrojo gateway%'"
        ).fetchall()
        lookups = {pid for (pid,) in gateways}
        used: dict[str, float] = defaultdict(float)
        for process in self._system.family():
            try:
                part = _part(process, lookups)
                used[part] += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:  # it ended meanwhile, and with it what it used
                continue
        return used


def _part(process: psutil.Process, lookups: set[int]) -> str:
    name, title = process.name(), " ".join(process.cmdline())
    if name == "postgres":
        return LOOKUP if process.pid in lookups else COMMIT
    if name == "java":
        return KAFKA
    return GATEWAY if title.startswith("cerrojo: gateway") else WORKERS if "worker" in title else ""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--size", choices=AMOUNTS, default="usual", help="how much of everything")
    parser.add_argument("--into", type=Path, help="the folder for the results")
    arguments = parser.parse_args()
    machine, at = describe(), datetime.now(UTC)
    print(machine)
    try:
        costs = _measure(machine, at, arguments.size)
    except BenchError as error:
        sys.exit(str(error))
    for name in Costs.__struct_fields__[4:]:
        print(f"{name:30} {getattr(costs, name):12,.3f}")
    path = save(costs, arguments.into or RESULTS / at.strftime("%Y%m%d-%H%M%S"))
    print(f"Written to {os.path.relpath(path)}")
    return 0


def _measure(machine: str, at: datetime, size: str) -> Costs:
    warm_seconds, seconds, backlog = AMOUNTS[size]
    with up(SIZES[size].env) as system:
        accounts.make(system.database_url)
        warm(system, warm_seconds)
        with login_processes(system, env=CHEAPEST) as (port, _, _):
            meter = Meter(system)
            cheap = meter.measure(lambda: _logins(port, accounts.CHEAP, seconds))
        meter = Meter(system)
        real = meter.measure(lambda: _logins(system.login_port, accounts.REAL, seconds))
        print(f"logins: {real.rate:,.0f}/s, and with the cheapest hash {cheap.rate:,.0f}/s")
        all_ = _drain(system, meter, _attempts(backlog, meter.partitions))
        one = _drain(system, meter, _attempts(backlog, meter.partitions, only=0))
        print(f"backlog: {all_.rate:,.0f}/s in all partitions, {one.rate:,.0f}/s in one")
    return Costs(
        machine=machine,
        commit=commit(),
        at=at.isoformat(timespec="seconds"),
        cores=os.cpu_count() or 1,
        hash_core_ms=real.core_ms[GATEWAY] - cheap.core_ms[GATEWAY],
        gateway_core_ms=cheap.core_ms[GATEWAY],
        kafka_core_ms=cheap.core_ms[KAFKA],
        lookup_core_ms=cheap.core_ms[LOOKUP],
        commit_core_ms=all_.core_ms[COMMIT],
        worker_core_ms=all_.core_ms[WORKERS],
        worker_attempts_per_second=one.rate,
        postgres_attempts_per_second=max(all_.rate, one.rate),
        logins_per_second=real.rate,
    )


def _logins(port: int, users: str, seconds: float) -> float:
    job = Job(
        port=port,
        users=users,
        accounts=accounts.COUNT,
        clients=CLIENTS,
        seconds=seconds,
        warm=0.0,
    )
    return drive(job, 200, 503).rate


Attempts = list[tuple[int, str, bytes]]
"""Partitions, users and messages."""


def _attempts(count: int, partitions: int, only: int | None = None) -> Attempts:
    """Of so many distinct users, in all partitions or in one."""
    made: Attempts = []
    while len(made) < count:
        user = "".join(random.choices(string.ascii_lowercase, k=16))
        partition = partition_of(user, partitions)
        if only in (None, partition):
            message = encode(Attempt(new_id(), 0, user, random.random() >= WRONG, lists=True))
            made.append((partition, user, message))
    return made


def _append(system: Up, attempts: Attempts) -> None:
    """Put them into the log, faster than they can be decided."""
    producer = Producer(
        {
            "bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"],
            "linger.ms": 20,
            "queue.buffering.max.messages": len(attempts) + 1,
            **KafkaUsers(Path(system.env["CERROJO_DATA_DIR"])).options(),
        }
    )
    sealer = Sealer(KeyFile(Path(system.env["CERROJO_SIGNING_KEYS"]), "gateway"), ATTEMPTS)
    for partition, user, message in attempts:
        key, now_ms = user.encode(), round(time.time() * 1000)
        value = sealer.seal("gateway", message, partition, key, now_ms)
        producer.produce(ATTEMPTS, value, key, partition=partition)
    if producer.flush(60):
        raise BenchError("Kafka did not take a backlog within 60 s.")


def _drain(system: Up, meter: Meter, attempts: Attempts) -> Cost:
    """The cost of these attempts; its rate is that after the last one was in the log."""
    count = len(attempts)
    until = meter.decided() + count

    def work() -> float:
        _append(system, attempts)
        began, start, due = time.monotonic(), meter.decided(), time.monotonic() + DRAIN_SECONDS
        if until - start < count / 10:
            raise BenchError(f"{count:,} attempts were no backlog; more are needed.")
        while meter.decided() < until:
            if time.monotonic() > due:
                raise BenchError(f"A backlog was not decided within {DRAIN_SECONDS:g} s.")
            time.sleep(0.02)
        return (until - start) / (time.monotonic() - began)

    return meter.measure(work)


if __name__ == "__main__":
    sys.exit(main())
