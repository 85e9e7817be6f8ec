"""P5: how fast one worker decides a backlog, of what Postgres takes by COPY alone."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bench.errors import BenchError
from bench.extra import started, worker
from bench.figures import Figure, Row, share_of_limit
from bench.harness import Bench
from bench.system import CACHE
from bench.usage import Usage
from events.messages import Attempt, encode, new_id
from events.signatures import Sealer
from events.signing_keys import KeyFile, make
from events.topics import ATTEMPTS, create_topics
from local.servers import Servers
from settings import Settings
from sql.migrate import migrate
from sql.topology import settle_partitions

TWIN = "twin"
BATCH = Settings().batch_size
LOOK_SECONDS = 0.005
PATIENCE_SECONDS = 120.0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Kind(NamedTuple):
    """The records that a backlog is made of."""

    name: str
    distinct: bool
    right: bool
    goal: float


KINDS = (
    Kind("distinct users, all successes", True, True, 0.35),
    Kind("distinct users, all failures", True, False, 0.2),
    Kind("one user, all failures", False, False, 0.35),
)


def measure(bench: Bench) -> Row:
    """One partition, one worker process, and no gateway."""
    bench.alone()
    bench.say("P5: starting Kafka and Postgres")
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Servers(Path(folder), CACHE) as s:
        backlog = Backlog(s)
        return Row(
            figures=[_figure(bench, backlog, kind) for kind in KINDS],
            notes=[f"{name}: {usage}" for name, usage in backlog.usages.items()],
        )


def _figure(bench: Bench, backlog: Backlog, kind: Kind) -> Figure:
    count = bench.size.backlog
    rates, limits = [], []
    for pair in range(1, bench.size.pairs + 1):
        start = backlog.append(count, kind)
        rates.append(count / backlog.drain(start + count, kind.name))
        limits.append(count / backlog.copy(start, start + count))
        bench.say(
            f"P5 {kind.name}, {pair} of {bench.size.pairs}: COPY {limits[-1]:,.0f}, "
            f"ours {rates[-1]:,.0f}, ratio {rates[-1] / limits[-1]:.3f}"
        )
    return Figure(
        row="P5",
        what=f"backlog decided by one worker, {kind.name}, of COPY of its audit rows",
        unit="/s",
        ours=rates,
        limit=limits,
        goal=share_of_limit(kind.goal),
    )


class Backlog:
    """A log with more in it than was decided, and a second database to copy into."""

    def __init__(self, servers: Servers) -> None:
        self.usages: dict[str, str] = {}
        self._servers = servers
        self._log = servers.data_dir / "logs" / "worker.log"
        self._random = random.Random(5)
        kafka, url = servers.kafka_bootstrap_servers, servers.database_url
        keys = servers.data_dir / "signing-keys"
        make(keys)
        self._sealer = Sealer(KeyFile(keys, "gateway"), ATTEMPTS)
        self._env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": url,
            "CERROJO_SIGNING_KEYS": str(keys),
        }
        migrate(url)
        create_topics(AdminClient({"bootstrap.servers": kafka}), 1, 1)
        with psycopg.connect(url, autocommit=True) as connection:
            settle_partitions(connection, 1)
            connection.execute(f"CREATE DATABASE {TWIN}")
        migrate(servers.url(TWIN))
        self._end = 1
        self.drain(self._end)  # the policy that a first owner proposes

    def append(self, count: int, kind: Kind) -> int:
        """Put so many attempts into the log; the offset of the first."""
        producer = Producer(
            {
                "bootstrap.servers": self._servers.kafka_bootstrap_servers,
                "linger.ms": 20,
                "queue.buffering.max.messages": count + 1,
            }
        )
        one = self._name()
        for _ in range(count):
            user = self._name() if kind.distinct else one
            message, key = encode(Attempt(new_id(), 0, user, kind.right, lists=True)), user.encode()
            value = self._sealer.seal("gateway", message, 0, key, round(time.time() * 1000))
            producer.produce(ATTEMPTS, value, key, partition=0)
        assert producer.flush(60) == 0
        start, self._end = self._end, self._end + count
        return start

    def drain(self, until: int, name: str = "") -> float:
        """Seconds from the claim until the offset of the commit is this one."""
        with (
            psycopg.connect(self._servers.database_url, autocommit=True) as database,
            started(worker(self._env, 0, self._log)),
        ):
            began = time.monotonic()
            usage = Usage(psutil.Process().children(recursive=True))
            # What the worker says comes up to 0.4 s later.
            while (seconds := time.monotonic() - began) < PATIENCE_SECONDS:
                if _committed(database) >= until:
                    if name:
                        self.usages[name] = usage.sentence(0.0)
                    return seconds
                time.sleep(LOOK_SECONDS)
        raise BenchError(f"The worker did not get to offset {until}; {self._log} says why.")

    def copy(self, start: int, end: int) -> float:
        """Seconds for binary COPY of the same audit rows, in commits of the same size."""
        with psycopg.connect(self._servers.database_url) as connection:
            batches = [
                _rows(connection, offset, min(end, offset + BATCH))
                for offset in range(start, end, BATCH)
            ]
        with psycopg.connect(self._servers.url(TWIN), autocommit=True) as connection:
            connection.execute("TRUNCATE audit")
            began = time.monotonic()
            for batch in batches:
                with connection.cursor().copy("COPY audit FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(batch)
            seconds = time.monotonic() - began
            row = connection.execute("SELECT count(*) FROM audit").fetchone()
            assert row == (end - start,)
        return seconds

    def _name(self) -> str:
        return "".join(self._random.choices(LETTERS, k=12))


def _committed(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT next_offset FROM partition_progress").fetchone()
    assert row is not None
    return int(row[0])


def _rows(connection: psycopg.Connection, start: int, end: int) -> bytes:
    query = (
        "COPY (SELECT * FROM audit WHERE partition = 0 AND generation = 1"
        f" AND log_offset >= {start} AND log_offset < {end} ORDER BY log_offset)"
        " TO STDOUT (FORMAT BINARY)"
    )
    with connection.cursor().copy(query) as copy:
        return b"".join(bytes(part) for part in copy)
