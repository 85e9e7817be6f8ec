"""The processes of a system, from the settings."""

from __future__ import annotations

import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import Literal

from events import rights
from events.signing_keys import grant, make
from gateway import device_keys
from gateway.launch import drain_seconds
from local import datadir, kafka, postgres
from local.errors import LocalError, unusable
from local.hosts import hosts
from local.kafka import Kafka, reserve
from local.kafka_users import KafkaUsers
from local.postgres import Postgres
from local.system import Part
from processes import ProcessSpec
from settings import OPERATOR_TOKEN, Settings, variable
from sql.roles import GATEWAY, OPERATOR, WORKERS

ROLES_OF = {"gateway": GATEWAY, "workers": WORKERS}
"""The roles of the parts in Postgres; the others come as the owner."""

PROJECT = Path(__file__).parents[1]
STEP_SECONDS = 120.0
DOWNLOAD_SECONDS = 7200.0  # for a slow line; its progress shows that it is alive
CONNECTIONS_OF_A_HOST = 10  # two standbys', the relay's four, the supervisor's two, and some more
CONNECTIONS_OF_COMMANDS = 40  # and of the probe, and the three that Postgres keeps for superusers
WORKERS_DRAIN_SECONDS, STEP_DRAIN_SECONDS = 1.5, 1.0


class Addresses:
    """The addresses of a system: its hosts, and a Kafka and Postgres, local or of the settings."""

    def __init__(self, settings: Settings, data_dir: Path) -> None:
        """Reserve the ports of the servers to be started. Raises LocalError."""
        self.data_dir = data_dir
        self.cache_dir = cache_dir(settings, data_dir)
        self.brokers = settings.brokers
        self.hosts = hosts(settings)
        self.deadline_seconds = settings.deadline_seconds
        self.device_keys_file = None if settings.device_keys_file else data_dir / "device-keys"
        """The keys of device cookies that are made here; None where the settings name others."""
        self.kafka_users = KafkaUsers(data_dir)
        """Of the local nodes."""
        self.kafka: list[Kafka] = []
        """The local nodes; none where the settings name another Kafka."""
        self.postgres: Postgres | None = None
        if settings.kafka_bootstrap_servers is None:
            _check_replication(settings)
            _check_security(settings)
            promised = {port for host in self.hosts for port in host.ports.values()}
            self.kafka = reserve(
                data_dir,
                self.cache_dir,
                self.brokers,
                settings.kafka_port,
                promised,
                settings.kafka_java_options,
            )
        self.operator_token = data_dir / OPERATOR_TOKEN
        """The file of the token of this machine's operator."""
        self.signing_keys = settings.signing_keys
        """The folder of the keys that sign records. None: they are not signed, as the Kafka is
        another one, and which keys others sign by cannot be known here."""
        if self.signing_keys is None and self.kafka:
            self.signing_keys = data_dir / "signing-keys"
        if settings.database_url is None:
            self.postgres = Postgres(data_dir, most_connections(settings))
        self.kafka_bootstrap_servers = (
            ",".join(node.address for node in self.kafka) or settings.require_kafka()
        )
        self.database_url = (
            self.postgres.database_url if self.postgres else settings.require_database()
        )

    def make_keys(self) -> None:
        """Make the keys and passwords that a system needs and does not have. Raises LocalError."""
        path = self.device_keys_file
        try:
            if self.kafka:
                self.kafka_users.make()
        except OSError as error:
            raise LocalError(unusable(error, self.data_dir)) from None
        try:
            if path and not path.exists():
                device_keys.new_key(path)
        except OSError as error:
            raise LocalError(
                f"{path} cannot be made: {error.strerror}. Let it be made, or set "
                f"{variable('device_keys_file')} to another file."
            ) from None

    def environment(self, part: rights.Part | Literal["steps"]) -> dict[str, str]:
        """The settings by which this part comes to the servers, with its own rights.

        The steps come as the administrator of a Kafka that is started here, and they and the
        commands, those of `cerrojo`, as the owner of such a Postgres.
        """
        found = {variable("kafka_bootstrap_servers"): self.kafka_bootstrap_servers}
        if self.kafka:
            if part == "steps":
                found |= self.kafka_users.administrator()
                found[variable("kafka_users_file")] = str(self.kafka_users.file)
            else:
                found |= self.kafka_users.part(part)
        if self.postgres:  # else they have it where we have it: it may be in a file
            role = ROLES_OF.get(part, postgres.OWNER)
            found[variable("database_url")] = self.postgres.url(role)
            if part == "gateway":
                found[variable("operator_database_url")] = self.postgres.url(OPERATOR)
        if self.signing_keys:
            found[variable("signing_keys")] = str(self.signing_keys.absolute())
        return found

    @property
    def device_environment(self) -> dict[str, str]:
        """The settings of device cookies by keys that are made here; none where they are not."""
        if self.device_keys_file is None:
            return {}
        return {
            variable("device_keys_file"): str(self.device_keys_file),
            variable("device_cookie"): "plain",  # the ports are on loopback, by http
        }

    @property
    def commands_environment(self) -> dict[str, str]:
        """The settings of `cerrojo` beside this system, whose ports are those of its first host."""
        host = self.hosts[0]
        ports = host.gateway_environment | host.workers_environment
        token = {variable("operator_token_file"): str(self.operator_token)}
        return ports | token | self.device_environment | self.environment("commands")

    @property
    def servers(self) -> list[Postgres | Kafka]:
        """The local Postgres and Kafka nodes, as far as there are any."""
        return [*([self.postgres] if self.postgres else []), *self.kafka]

    @cached_property
    def unprepared(self) -> list[ProcessSpec]:
        """Those of them that a step has to prepare, as at their first start; the others are now."""
        return [server.spec() for server in self.servers if not server.prepare_at_once()]


def cache_dir(settings: Settings, data_dir: Path) -> Path:
    """The directory of the downloads. Raises LocalError."""
    if settings.cache_dir is None:
        return data_dir / "cache"
    return datadir.absolute(settings.cache_dir, "cache_dir")


def server_parts(addresses: Addresses) -> list[Part]:
    """The local Kafka nodes and Postgres, each after the step that prepares it, if there is one."""
    steps = {server.name: _files(server, addresses) for server in addresses.unprepared}
    return [
        *steps.values(),
        *(
            Part(
                spec,
                after=(steps[spec.name].spec.name,) if spec.name in steps else (),
                group=spec.name.partition("-")[0],
            )
            for spec in (server.spec() for server in addresses.servers)
        ),
    ]


def stop_seconds(settings: Settings) -> float:
    """Seconds that a stop takes at most: one group of parts after the other, each in its time."""
    gateway = drain_seconds(settings.deadline_seconds)
    return gateway + WORKERS_DRAIN_SECONDS + kafka.GRACE_SECONDS + postgres.GRACE_SECONDS


def cerrojo_parts(addresses: Addresses) -> list[Part]:
    """Migrations and topics, then each host's workers and gateway."""
    if addresses.signing_keys:
        _make_signing_keys(addresses.signing_keys)

    def spec(
        part: rights.Part | Literal["steps"], name: str, module: str, drain: float, **own: str
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-m", module),
            env={variable("data_dir"): str(addresses.data_dir)} | addresses.environment(part) | own,
            cwd=PROJECT,
            log=addresses.data_dir / "logs" / f"{name}.log",
            start_timeout=STEP_SECONDS,
            silence_timeout=None,  # supervisors watch their own processes
            drain_timeout=drain,
        )

    keys = addresses.device_environment
    gateway_drain = drain_seconds(addresses.deadline_seconds)
    database = (postgres.NAME,) if addresses.postgres else ()
    brokers = tuple(node.name for node in addresses.kafka)
    steps = ("migrations", "topics")
    early = tuple(_files_name(server) for server in addresses.unprepared)  # a download takes long
    workers = [
        spec("workers", host.workers, "workers", WORKERS_DRAIN_SECONDS, **host.workers_environment)
        for host in addresses.hosts
    ]
    gateways = [
        spec("gateway", host.gateway, "gateway", gateway_drain, **host.gateway_environment, **keys)
        for host in addresses.hosts
    ]
    return [
        # While Kafka starts, which takes longest.
        Part(spec("steps", "migrations", "sql", STEP_DRAIN_SECONDS), database, once=True),
        Part(
            spec("steps", "topics", "events", STEP_DRAIN_SECONDS),
            ("migrations", *brokers),
            once=True,
            early=early,
        ),
        *(Part(each, steps, group="workers", early=early) for each in workers),
        *(Part(each, steps, group="gateway", early=early) for each in gateways),
    ]


def _make_signing_keys(folder: Path) -> None:
    """Make them in a folder that is missing or empty, all or none. Raises OSError."""
    if folder.exists() and any(folder.iterdir()):
        return
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a start that was killed
    make(new)
    grant(new, "operator", "policy")  # the console is one person's
    new.rename(folder)


def _files(server: ProcessSpec, addresses: Addresses) -> Part:
    assert server.log is not None
    step = ProcessSpec(
        name=_files_name(server),
        command=(sys.executable, "-m", "local", "prepare", server.name),
        env={
            variable("data_dir"): str(addresses.data_dir),
            variable("cache_dir"): str(addresses.cache_dir),
            variable("brokers"): str(addresses.brokers),
        },
        cwd=PROJECT,
        log=server.log,
        start_timeout=DOWNLOAD_SECONDS,
        drain_timeout=STEP_DRAIN_SECONDS,
    )
    return Part(step, once=True)


def _files_name(server: ProcessSpec) -> str:
    return f"{server.name} files"


def most_connections(settings: Settings) -> int:
    """Connections to Postgres that the parts may have at the same time, and room for others.

    A gateway's processes, the operator port's among them, have their pools, and each one more for
    its block list. A worker has one.
    """
    processes = settings.gateway_processes + 1
    host = processes * (settings.database_connections + 1) + CONNECTIONS_OF_A_HOST
    return settings.hosts * host + settings.partitions + CONNECTIONS_OF_COMMANDS


def _check_replication(settings: Settings) -> None:
    if settings.replication > settings.brokers:
        raise LocalError(
            f"CERROJO_REPLICATION is {settings.replication}, and the Kafka that is started here "
            f"has CERROJO_BROKERS={settings.brokers}. Set CERROJO_REPLICATION to at most that, or "
            "CERROJO_BROKERS to 3."
        )


def _check_security(settings: Settings) -> None:
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise LocalError(
            f"{variable('kafka_security_protocol')} is {settings.kafka_security_protocol}, and the "
            "Kafka that is started here has no TLS, and makes its users itself. Set "
            f"{variable('kafka_bootstrap_servers')} to another Kafka, or unset it."
        )
