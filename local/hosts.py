"""The hosts that `make up` plays: each has a gateway and workers, on ports of its own."""

from __future__ import annotations

from typing import NamedTuple

from local import ports
from local.errors import LocalError
from settings import Settings, variable

STEP = 10
"""From one host's ports to the next one's."""

HIGHEST_PORT = 65_535


class Host(NamedTuple):
    """What runs on a host, by the names of its parts, and where it listens."""

    gateway: str
    workers: str
    ports: dict[str, int]
    """By the fields of the settings."""

    @property
    def gateway_environment(self) -> dict[str, str]:
        """The gateway's ports, as its settings."""
        return self._environment("login_port", "operator_port")

    @property
    def workers_environment(self) -> dict[str, str]:
        """The workers' port, as their setting."""
        return self._environment("workers_port")

    def _environment(self, *fields: str) -> dict[str, str]:
        return {variable(field): str(self.ports[field]) for field in fields}


def hosts(settings: Settings) -> list[Host]:
    """As many as the settings say; the first one has the settings' ports."""
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
    """Raise LocalError where a port of ours is taken, wanted twice, or none at all."""
    taken: dict[int, str] = {}
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
            ports.require_free(name, getattr(settings, field.replace("_port", "_host")), port)
