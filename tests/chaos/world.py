"""What chaos is brought into: Kafka, Postgres, a gateway, and two hosts of workers."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from events.topics import ATTEMPTS, BLOCKS, VERDICTS, create_topics, describe
from local import ports
from local.servers import Servers
from processes import Keeper, ProcessSpec
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.chaos.database import Database

PROJECT = Path(__file__).parents[2]
PARTITIONS = 4
HOSTS = ("host A", "host B")
GATEWAY = "gateway"
READY_SECONDS = 90.0

SETTINGS = {
    "CERROJO_ARGON2_MEMORY_KIB": "8",
    "CERROJO_ARGON2_TIME_COST": "1",
    "CERROJO_GATEWAY_PROCESSES": "2",
    "CERROJO_POLICY_WINDOW_SECONDS": "30",
    "CERROJO_POLICY_BLOCK_SECONDS": "2",
    "CERROJO_POLICY_BLOCK_MAX_SECONDS": "10",
    "CERROJO_POLICY_FINAL_FAILURES": "20",
}


class World:
    """Everything that runs. A part that is killed is started again when :meth:`release` says so."""

    def __init__(
        self,
        folder: Path,
        servers: Servers,
        database_url: str = "",
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Servers that run, and whose topics and database (or this one) have nothing in them yet.

        ``env`` has settings beside the usual ones.
        """
        self.folder = folder
        self.servers = servers
        self.database = Database(servers)
        self.database.url = database_url or self.database.url
        self.kafka = servers.kafka_bootstrap_servers
        self._env = env
        self._ports = [ports.choose("127.0.0.1") for _ in range(2)]
        self._workers_ports = {part: ports.choose("127.0.0.1") for part in (*HOSTS, GATEWAY)}
        self.login_url = f"http://127.0.0.1:{self._ports[0]}"
        self.operator_url = f"http://127.0.0.1:{self._ports[1]}"
        self._keeper = Keeper()
        self._to_do: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="world")

    def start(self) -> None:
        """Return when every part is ready. Call :meth:`stop` also where this fails."""
        self._thread.start()
        self.database.keep_times_of_commits()
        migrate(self.database.url)
        with psycopg.connect(self.database.url) as connection:
            settle_partitions(connection, PARTITIONS)
        admin = self.admin()
        create_topics(admin, PARTITIONS, replication=len(self.servers.brokers))
        keep_for_the_oracle(admin)
        self._add(self._spec(GATEWAY, GATEWAY))
        for host in HOSTS:
            self._add(self._spec(host, "workers"))
        self.wait_until_ready(*HOSTS, GATEWAY)

    def stop(self) -> None:
        """Let all finish."""
        self._do(self._keeper.stop)
        self._thread.join()
        self._keeper.close()

    def release(self, name: str) -> None:
        """Start a killed part again."""
        self._do(lambda: self._keeper.release(name))

    def restart(self, name: str) -> None:
        """Let a part finish in order and start it again."""
        self._do(lambda: self._keeper.restart(name))

    def join(self, host: str) -> None:
        """Let one more host of workers come, and return when it has partitions."""
        self._workers_ports[host] = ports.choose("127.0.0.1")
        self._add(self._spec(host, "workers"))
        self.wait_until_ready(host)

    def leave(self, host: str) -> None:
        """Let a host finish in order, and return when it is gone."""
        self._do(lambda: self._keeper.remove(host))
        self._wait_until(lambda: self.pid(host) is None, f"{host} does not end")

    def workers(self, *words: str) -> subprocess.Popen[str]:
        """Begin one of the commands of `python -m workers`; what it says comes in one."""
        return subprocess.Popen(
            [sys.executable, "-m", "workers", *words],
            env={**os.environ, **self._settings(GATEWAY)},
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pid(self, name: str) -> int | None:
        """A part's first process."""
        state = self._keeper.states.get(name)
        return state.pid if state else None

    def family(self, name: str) -> list[int]:
        """All processes of a part, the first one first."""
        pid = self.pid(name)
        if pid is None:
            return []
        try:
            first = psutil.Process(pid)
            return [pid, *(child.pid for child in first.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def login_processes(self) -> list[int]:
        """The gateway's, that answer logins."""
        return [pid for pid in self.family(GATEWAY) if "gateway login" in _title(pid)]

    def server_process(self, name: str) -> int:
        """The process of the broker itself, which another one holds."""
        holder = psutil.Process(self.servers.pids[name])
        server: psutil.Process = next(iter(holder.children(recursive=True)), holder)
        return int(server.pid)

    def partitions_of(self, host: str) -> list[int]:
        """Which partitions a host decides."""
        family = set(self.family(host))
        return [owner.partition for owner in self.database.owners() if owner.pid in family]

    def is_ready(self, name: str) -> bool:
        """Whether a part says that all of it works."""
        try:
            self.read(name, "readyz")
        except OSError:
            return False
        return True

    def read(self, name: str, page: str) -> str:
        """A page of the gateway's operator port or of a host's; ``OSError`` where it is not 200."""
        port = self._ports[1] if name == GATEWAY else self._workers_ports[name]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as response:
            return str(response.read().decode())

    def wait_until_ready(self, *names: str) -> None:
        """Return when these say so; hosts have partitions then."""
        for name in names:
            self._wait_until(
                lambda name=name: (  # type: ignore[misc]  # mypy wants no default here
                    self.is_ready(name) and (name == GATEWAY or self.partitions_of(name))
                ),
                f"{name} is not ready",
            )

    def _wait_until(self, so: Callable[[], object], or_else: str) -> None:
        until = time.monotonic() + READY_SECONDS
        while not so():
            assert time.monotonic() < until, f"{or_else}. Logs: {self.folder}"
            time.sleep(0.05)

    def kafka_answers(self) -> bool:
        """Whether the broker says now where a log ends."""
        reader = Consumer({"bootstrap.servers": self.kafka, "group.id": "chaos", "log_level": 2})
        try:
            return (
                reader.get_watermark_offsets(TopicPartition(ATTEMPTS, 0), timeout=0.5) is not None
            )
        except KafkaException:
            return False
        finally:
            reader.close()

    def in_sync(self) -> bool:
        """Whether every broker has all that was acknowledged."""
        admin = self.admin()
        try:
            topics = [describe(admin, topic) for topic in (ATTEMPTS, VERDICTS, BLOCKS)]
        except KafkaException:
            return False
        return all(len(p.isr) == len(p.replicas) for t in topics for p in t.partitions)

    def admin(self) -> AdminClient:
        """What changes topics."""
        return AdminClient({"bootstrap.servers": self.kafka, "log_level": 2})

    def _settings(self, name: str) -> dict[str, str]:
        return {
            **SETTINGS,
            **self._env,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "DATABASE_URL": self.database.url,
            "CERROJO_LOGIN_PORT": str(self._ports[0]),
            "CERROJO_OPERATOR_PORT": str(self._ports[1]),
            "CERROJO_WORKERS_PORT": str(self._workers_ports[name]),
        }

    def _spec(self, name: str, module: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-m", module),
            env=self._settings(name),
            cwd=PROJECT,
            log=self.folder / f"{name.replace(' ', '-')}.log",
            start_timeout=READY_SECONDS,
            silence_timeout=None,  # a frozen one is chaos' own doing
            drain_timeout=15.0,
            hold_codes=frozenset({-9}),
        )

    def _add(self, spec: ProcessSpec) -> None:
        self._do(lambda: self._keeper.add(spec))

    def _do(self, action: Callable[[], None]) -> None:
        self._to_do.put(action)
        self._keeper.wake()

    def _run(self) -> None:
        while not self._keeper.stopped:
            self._keeper.step(0.5)
            while not self._to_do.empty():
                self._to_do.get()()


def keep_for_the_oracle(admin: AdminClient) -> None:
    """Nothing is deleted, and the answers' times are those at which they could be read."""
    changes = {
        ATTEMPTS: {"retention.ms": "-1"},
        VERDICTS: {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
        BLOCKS: {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
    }
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in config.items()
            ],
        )
        for topic, config in changes.items()
    ]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(10)


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""
