"""The system that chaos is brought into: Kafka, Postgres, a gateway, two hosts of workers."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psutil
import psycopg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from events.signatures import Opener
from events.signing_keys import KeyFile, make
from events.topics import ATTEMPTS, BLOCKS, SOURCES, TOPICS, VERDICTS, create_topics, describe
from loadtest.histories import ClockApart, Era, Rules, Span
from local import tcp_ports
from local.servers import Servers
from processes import ProcessManager, ProcessSpec
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.chaos.database import Database
from tests.harness.evidence import Restored
from tests.harness.operators import add_operator
from tests.kafka import reader
from tests.paths import PROJECT
from tests.postgres import by_role

PARTITIONS, MOST_PARTITIONS = 4, 8
"""Used at first, and after all resizes."""
HOSTS = ("host A", "host B")
GATEWAY = "gateway"
READY_SECONDS = 90.0
HERE = "127.0.0.1"

RULES = Rules(threshold=5, window_ms=30_000, block_ms=2_000, block_max_ms=10_000, final_failures=20)

SETTINGS = {
    "CERROJO_ARGON2_MEMORY_KIB": "8",
    "CERROJO_ARGON2_TIME_COST": "1",
    "CERROJO_GATEWAY_PROCESSES": "2",
    "CERROJO_POLICY_THRESHOLD": str(RULES.threshold),
    "CERROJO_POLICY_WINDOW_SECONDS": str(RULES.window_ms / 1000),
    "CERROJO_POLICY_BLOCK_SECONDS": str(RULES.block_ms / 1000),
    "CERROJO_POLICY_BLOCK_MAX_SECONDS": str(RULES.block_max_ms / 1000),
    "CERROJO_POLICY_FINAL_FAILURES": str(RULES.final_failures),
}


class Door(NamedTuple):
    """The URLs of a gateway's ports."""

    login_url: str
    operator_url: str


class World:
    """Everything that runs. A part that is killed is started again when :meth:`release` says so."""

    gateways: tuple[str, ...] = (GATEWAY,)

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
        self.restored: list[Restored] = []
        """When the database was put back."""
        self.older: list[Span] = []
        """When the database may have been older than what was answered, and looks at it, too."""
        self.clocks: list[ClockApart] = []
        """When a broker's clock was wrong."""
        self.database_clocks: list[ClockApart] = []
        self.eras = [Era(-inf, inf, RULES)]
        """Which policies were in force."""
        self._env = env
        self._signing_keys = folder / "signing-keys"
        make(self._signing_keys)
        self._login_ports = {part: tcp_ports.choose(HERE) for part in self.gateways}
        self._ports = {part: tcp_ports.choose(HERE) for part in (*self.gateways, *HOSTS)}
        self._manager = ProcessManager()
        self._to_do: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="world")

    @property
    def parts(self) -> tuple[str, ...]:
        """The hosts of workers and the gateways that are always there."""
        return (*HOSTS, *self.gateways)

    @property
    def doors(self) -> list[Door]:
        """Where clients and operators ask, one for each gateway."""
        return [
            Door(*(f"http://{self.address(g)}:{p[g]}" for p in (self._login_ports, self._ports)))
            for g in self.gateways
        ]

    def address(self, part: str) -> str:
        """Where a part listens."""
        return HERE

    def start(self) -> None:
        """Return when every part is ready. Call :meth:`stop` also where this fails."""
        self._thread.start()
        self.database.keep_times_of_commits()
        migrate(self.database.url)
        with psycopg.connect(self.database.url) as connection:
            settle_partitions(connection, PARTITIONS)
        add_operator(self.database.url)
        admin = self.admin()
        create_topics(admin, PARTITIONS, replication=len(self.servers.brokers))
        keep_for_the_oracle(admin)
        for part in (*self.gateways, *HOSTS):
            self._add(self._spec(part))
        self.wait_until_ready(*self.parts)

    def stop(self) -> None:
        """Let all finish."""
        self._do(self._manager.stop)
        self._thread.join()
        self._manager.close()

    def release(self, name: str) -> None:
        """Start a killed part again."""
        self._do(lambda: self._manager.release(name))

    def restart(self, name: str) -> None:
        """Let a part finish in order and start it again."""
        self._do(lambda: self._manager.restart(name))

    def join(self, host: str) -> None:
        """Let one more host of workers come, and return when it has partitions."""
        self._ports[host] = tcp_ports.choose(HERE)
        self._add(self._spec(host))
        self.wait_until_ready(host)

    def leave(self, host: str) -> None:
        """Let a host finish in order, and return when it is gone."""
        self._do(lambda: self._manager.remove(host))
        self._wait_until(lambda: self.pid(host) is None, f"{host} does not end")

    def cerrojo(self, *words: str) -> subprocess.Popen[str]:
        """Begin one of the commands of `cerrojo`; all of its output comes in one."""
        return subprocess.Popen(
            [sys.executable, "-m", "cerrojo", *words],
            env={
                **os.environ,
                "CERROJO_TOPIC_PREFIX": "",
                **self._settings(self.gateways[0]),
                "DATABASE_URL": self._url_of_parts,  # the owner's
            },
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pid(self, name: str) -> int | None:
        """A part's first process."""
        state = self._manager.states.get(name)
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
        return self._gateway_processes("gateway login")

    def hash_processes(self) -> list[int]:
        """The gateway's, that make and check hashes."""
        return self._gateway_processes("gateway hash")

    def _gateway_processes(self, title: str) -> list[int]:
        processes = [pid for gateway in self.gateways for pid in self.family(gateway)]
        return [pid for pid in processes if title in _title(pid)]

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
        url = f"http://{self.address(name)}:{self._ports[name]}/{page}"
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())

    def wait_until_ready(self, *names: str) -> None:
        """Return when these say so; hosts have partitions then."""
        for name in names:
            self._wait_until(
                lambda name=name: (  # type: ignore[misc]  # mypy wants no default here
                    self.is_ready(name) and (name in self.gateways or self.partitions_of(name))
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
        consumer = reader(self.kafka)
        try:
            return (
                consumer.get_watermark_offsets(TopicPartition(ATTEMPTS, 0), timeout=0.5) is not None
            )
        except KafkaException:
            return False
        finally:
            consumer.close()

    def in_sync(self) -> bool:
        """Whether every broker has all that was acknowledged."""
        admin = self.admin()
        try:
            topics = [describe(admin, topic) for topic in TOPICS]
        except KafkaException:
            return False
        return all(len(p.isr) == len(p.replicas) for t in topics for p in t.partitions)

    def opener(self, topic: str) -> Opener:
        """Opens what the workers have signed."""
        return Opener(KeyFile(self._signing_keys, "workers"), topic)

    def admin(self) -> AdminClient:
        """A client that changes topics."""
        return AdminClient({"bootstrap.servers": self.kafka, "log_level": 2})

    @property
    def _url_of_parts(self) -> str:
        return self.database.url

    def _settings(self, name: str) -> dict[str, str]:
        return {
            **SETTINGS,
            **self._env,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            **by_role("gateway" if name in self.gateways else "workers", self._url_of_parts),
            "CERROJO_SIGNING_KEYS": str(self._signing_keys),
            **self._listening(name),
        }

    def _listening(self, name: str) -> dict[str, str]:
        address, port = self.address(name), str(self._ports[name])
        if name not in self.gateways:
            return {"CERROJO_WORKERS_HOST": address, "CERROJO_WORKERS_PORT": port}
        return {
            "CERROJO_LOGIN_HOST": address,
            "CERROJO_LOGIN_PORT": str(self._login_ports[name]),
            "CERROJO_OPERATOR_HOST": address,
            "CERROJO_OPERATOR_PORT": port,
        }

    def _spec(self, name: str) -> ProcessSpec:
        module = "gateway" if name in self.gateways else "workers"
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
        self._do(lambda: self._manager.add(spec))

    def _do(self, action: Callable[[], None]) -> None:
        self._to_do.put(action)
        self._manager.wake()

    def _run(self) -> None:
        while not self._manager.stopped:
            self._manager.step(0.5)
            while not self._to_do.empty():
                self._to_do.get()()


def keep_for_the_oracle(admin: AdminClient) -> None:
    """Nothing is deleted, and the answers' times are those at which they could be read."""
    changes = {
        ATTEMPTS: {"retention.ms": "-1"},
        VERDICTS: {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
        BLOCKS: {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
        SOURCES: {"retention.ms": "-1"},
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
