"""The processes of a system, from the settings."""

from __future__ import annotations

import sys
from pathlib import Path

from local.kafka import Kafka
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
    """Which Kafka and Postgres a system uses: those of the settings, or its own."""

    def __init__(self, settings: Settings, data_dir: Path) -> None:
        """Reserve the ports of what is going to be started. Raises LocalError."""
        self.data_dir = data_dir
        self.cache_dir = cache_dir(settings, data_dir)
        self.kafka: Kafka | None = None
        self.postgres: Postgres | None = None
        if settings.kafka_bootstrap_servers is None:
            self.kafka = Kafka(data_dir, self.cache_dir)
            self.kafka.reserve_ports(settings.kafka_port)
        if settings.database_url is None:
            self.postgres = Postgres(data_dir)
        self.kafka_bootstrap_servers = (
            self.kafka.bootstrap_servers if self.kafka else settings.require_kafka()
        )
        self.database_url = (
            self.postgres.database_url if self.postgres else settings.require_database()
        )


def cache_dir(settings: Settings, data_dir: Path) -> Path:
    """Where downloads are kept."""
    return settings.cache_dir.absolute() if settings.cache_dir else data_dir / "cache"


def server_parts(addresses: Addresses) -> list[Part]:
    """Kafka and Postgres, each after the step that prepares it; none that is elsewhere."""
    own = (addresses.postgres, addresses.kafka)
    return [part for server in own if server for part in _prepared(server.spec(), addresses)]


def cerrojo_parts(addresses: Addresses) -> list[Part]:
    """Migrations and topics, then the workers and the gateway."""
    environment = {
        variable("data_dir"): str(addresses.data_dir),
        variable("database_url"): addresses.database_url,
        variable("kafka_bootstrap_servers"): addresses.kafka_bootstrap_servers,
    }

    def part(name: str, module: str, drain: float, after: tuple[str, ...], once: bool) -> Part:
        spec = ProcessSpec(
            name=name,
            command=(sys.executable, "-m", module),
            env=environment,
            cwd=PROJECT,
            log=addresses.data_dir / "logs" / f"{name}.log",
            start_timeout=STEP_SECONDS,
            silence_timeout=None,  # they watch over their own processes
            drain_timeout=drain,
        )
        return Part(spec, after, once)

    servers = tuple(
        server.spec().name for server in (addresses.postgres, addresses.kafka) if server
    )
    steps = ("migrations", "topics")
    return [
        part("migrations", "sql", STEP_DRAIN, servers, once=True),
        part("topics", "events", STEP_DRAIN, ("migrations", *servers), once=True),
        part("workers", "workers", WORKERS_DRAIN, steps, once=False),
        part("gateway", "gateway", GATEWAY_DRAIN, steps, once=False),
    ]


def _prepared(server: ProcessSpec, addresses: Addresses) -> list[Part]:
    assert server.log is not None
    step = ProcessSpec(
        name=f"{server.name} files",
        command=(sys.executable, "-m", "local", "prepare", server.name),
        env={
            variable("data_dir"): str(addresses.data_dir),
            variable("cache_dir"): str(addresses.cache_dir),
        },
        cwd=PROJECT,
        log=server.log,
        start_timeout=DOWNLOAD_SECONDS,
        drain_timeout=STEP_DRAIN,
    )
    return [Part(step, once=True), Part(server, after=(step.name,))]
