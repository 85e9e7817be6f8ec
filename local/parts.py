"""The processes of a system, from the settings."""

from __future__ import annotations

import sys
from pathlib import Path

from local.errors import LocalError
from local.hosts import hosts
from local.kafka import Kafka, reserve
from local.postgres import Postgres
from local.system import Part
from processes import ProcessSpec
from settings import Settings, variable

PROJECT = Path(__file__).parents[1]
STEP_SECONDS = 120.0
DOWNLOAD_SECONDS = 7200.0  # on a slow line; what shows that it lives is its progress
# Together below ten seconds: a stop takes one after the other.
GATEWAY_DRAIN, WORKERS_DRAIN, STEP_DRAIN = 4.5, 1.5, 1.0


class Addresses:
    """Where everything of a system is: Kafka and Postgres of the settings or its own, its hosts."""

    def __init__(self, settings: Settings, data_dir: Path) -> None:
        """Reserve the ports of what is going to be started. Raises LocalError."""
        self.data_dir = data_dir
        self.cache_dir = cache_dir(settings, data_dir)
        self.brokers = settings.brokers
        self.hosts = hosts(settings)
        self.kafka: list[Kafka] = []
        """The nodes of our own; none where it is elsewhere."""
        self.postgres: Postgres | None = None
        if settings.kafka_bootstrap_servers is None:
            _check_replication(settings)
            self.kafka = reserve(data_dir, self.cache_dir, self.brokers, settings.kafka_port)
        if settings.database_url is None:
            self.postgres = Postgres(data_dir)
        self.kafka_bootstrap_servers = (
            ",".join(node.address for node in self.kafka) or settings.require_kafka()
        )
        self.database_url = (
            self.postgres.database_url if self.postgres else settings.require_database()
        )

    @property
    def servers(self) -> list[ProcessSpec]:
        """Postgres and Kafka, as far as they are our own."""
        postgres = [self.postgres.spec()] if self.postgres else []
        return [*postgres, *(node.spec() for node in self.kafka)]


def cache_dir(settings: Settings, data_dir: Path) -> Path:
    """Where downloads are kept."""
    return settings.cache_dir.absolute() if settings.cache_dir else data_dir / "cache"


def server_parts(addresses: Addresses) -> list[Part]:
    """Kafka and Postgres, each after the step that prepares it; none that is elsewhere."""
    return [
        *(_files(server, addresses) for server in addresses.servers),
        *(
            Part(server, after=(_files_name(server),), group=server.name.partition("-")[0])
            for server in addresses.servers
        ),
    ]


def cerrojo_parts(addresses: Addresses) -> list[Part]:
    """Migrations and topics, then the workers and the gateway of each host."""
    environment = {
        variable("data_dir"): str(addresses.data_dir),
        variable("database_url"): addresses.database_url,
        variable("kafka_bootstrap_servers"): addresses.kafka_bootstrap_servers,
    }

    def spec(name: str, module: str, drain: float, **own: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-m", module),
            env=environment | own,
            cwd=PROJECT,
            log=addresses.data_dir / "logs" / f"{name}.log",
            start_timeout=STEP_SECONDS,
            silence_timeout=None,  # they watch over their own processes
            drain_timeout=drain,
        )

    servers = tuple(server.name for server in addresses.servers)
    steps = ("migrations", "topics")
    workers = [
        spec(host.workers, "workers", WORKERS_DRAIN, **host.workers_environment)
        for host in addresses.hosts
    ]
    gateways = [
        spec(host.gateway, "gateway", GATEWAY_DRAIN, **host.gateway_environment)
        for host in addresses.hosts
    ]
    return [
        Part(spec("migrations", "sql", STEP_DRAIN), servers, once=True),
        Part(spec("topics", "events", STEP_DRAIN), ("migrations", *servers), once=True),
        *(Part(each, steps, group="workers") for each in workers),
        *(Part(each, steps, group="gateway") for each in gateways),
    ]


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
        drain_timeout=STEP_DRAIN,
    )
    return Part(step, once=True)


def _files_name(server: ProcessSpec) -> str:
    return f"{server.name} files"


def _check_replication(settings: Settings) -> None:
    if settings.replication > settings.brokers:
        raise LocalError(
            f"CERROJO_REPLICATION is {settings.replication}, and the Kafka that is started here "
            f"has CERROJO_BROKERS={settings.brokers}. Set CERROJO_REPLICATION to at most that, or "
            "CERROJO_BROKERS to 3."
        )
