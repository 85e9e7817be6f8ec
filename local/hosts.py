"""The hosts that `make up` simulates: each has a gateway and workers, on ports of its own."""

from __future__ import annotations

from typing import NamedTuple

from local import tcp_ports
from local.errors import LocalError
from settings import Settings, variable

STEP = 10
"""From one host's ports to the next one's."""

HIGHEST_PORT = 65_535


class Host(NamedTuple):
    """The parts of a host, by name, and their ports."""

    gateway: str
    workers: str
    ports: dict[str, int]
    """By field of the settings."""

    @property
    def gateway_environment(self) -> dict[str, str]:
        """The environment variables that set the gateway's ports."""
        return self._environment("login_port", "operator_port")

    @property
    def workers_environment(self) -> dict[str, str]:
        """The environment variable that sets the workers' port."""
        return self._environment("workers_port")

    def _environment(self, *fields: str) -> dict[str, str]:
        return {variable(field): str(self.ports[field]) for field in fields}


def hosts(settings: Settings) -> list[Host]:
    """The hosts, `settings.hosts` of them; the first one has the settings' ports."""
    numbers = range(1, settings.hosts + 1)
    return [
        Host(
            *((f"gateway-{n}", f"workers-{n}") if settings.hosts > 1 else ("gateway", "workers")),
            {
                field: getattr(settings, field) + STEP * (n - 1)
                for field in ("login_port", "operator_port", "workers_port")
            },
        )
        for n in numbers
    ]


def check_ports(settings: Settings) -> None:
    """Raise LocalError where a port of the settings is taken, given twice, or no valid port."""
    taken: dict[int, str] = {}
    if settings.kafka_port and settings.kafka_bootstrap_servers is None:  # a Kafka is started here
        taken[settings.kafka_port] = variable("kafka_port")
    for number, host in enumerate(hosts(settings), start=1):
        for field, port in host.ports.items():
            name = variable(field)
            if number > 1:
                name += f" ({STEP * (number - 1)} more for host {number})"
            if port > HIGHEST_PORT:
                raise LocalError(f"{name} is {port}, which is no port. Set it to a lower one.")
            if port in taken:
                raise LocalError(f"{taken[port]} and {name} are both {port}. Set another port.")
            taken[port] = name
            tcp_ports.require_free(name, getattr(settings, field.replace("_port", "_host")), port)
