"""The users of the Kafka that `make up` starts, and their passwords.

The brokers and the administrator are known by the configuration of each node. The other users are
known to Kafka by SCRAM, as `python -m events` tells it, which comes in as the administrator. There
is no TLS: all of it is on the loopback address, where only root could listen.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import get_args

from events.rights import Part
from local.private_file import write_private
from settings import FILE, variable

BROKERS = "brokers"
ADMINISTRATOR = "cerrojo"

_LOGIN = "org.apache.kafka.common.security"
_CLIENTS, _CONTROLLER = "SASL_PLAINTEXT", "CONTROLLER"


class KafkaUsers:
    """Those of one data directory: a file with the password of each."""

    def __init__(self, data_dir: Path) -> None:
        """Does no I/O."""
        self._folder = data_dir / "kafka-passwords"
        self.file = self._folder / "users"
        """The file of the setting `kafka_users_file`."""

    def make(self) -> None:
        """Make the passwords that are not there yet. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        parts = {part: _name(part) for part in get_args(Part)}
        for name in (BROKERS, ADMINISTRATOR, *parts.values()):
            if not (self._folder / name).exists():
                write_private(self._folder / name, secrets.token_hex(24))
        lines = (f"{part} {name} {self._password(name)}\n" for part, name in parts.items())
        write_private(self.file, "".join(lines))

    @property
    def exist(self) -> bool:
        """Whether they were made; else Kafka asks nobody who comes."""
        return self.file.exists()

    def options(self, part: Part | None = None) -> dict[str, str | int | float | bool]:
        """The options of this part's client, or the administrator's; none where nobody is asked."""
        if not self.exist:
            return {}
        user = ADMINISTRATOR if part is None else _name(part)
        return {
            "security.protocol": _CLIENTS,
            "sasl.mechanism": "PLAIN" if part is None else "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self._password(user),
        }

    def administrator(self) -> dict[str, str]:
        """The settings of a client that may do everything; none where Kafka asks nobody."""
        return self._settings("PLAIN", ADMINISTRATOR)

    def part(self, part: Part) -> dict[str, str]:
        """The settings of this part's clients; none where Kafka asks nobody."""
        return self._settings("SCRAM-SHA-512", _name(part))

    def properties(self, host: str, broker: int, controller: int) -> dict[str, str]:
        """The properties of a node with these ports; none where Kafka asks nobody."""
        if not self.exist:
            return {}
        passwords = {name: self._password(name) for name in (BROKERS, ADMINISTRATOR)}
        plain = f"{_LOGIN}.plain.PlainLoginModule required"
        own = f'username="{BROKERS}" password="{passwords[BROKERS]}"'
        known = " ".join(f'user_{name}="{word}"' for name, word in passwords.items())
        clients, at = f"listener.name.{_CLIENTS.lower()}", f"{_CLIENTS}://{host}:{broker}"
        return {
            "listeners": f"{at},{_CONTROLLER}://{host}:{controller}",
            "advertised.listeners": at,
            "listener.security.protocol.map": f"{_CLIENTS}:{_CLIENTS},{_CONTROLLER}:{_CLIENTS}",
            "security.inter.broker.protocol": _CLIENTS,
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            f"{clients}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            f"{clients}.scram-sha-512.sasl.jaas.config": (
                f"{_LOGIN}.scram.ScramLoginModule required;"
            ),
            f"{clients}.plain.sasl.jaas.config": f"{plain} {own} {known};",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{plain} {own} user_{BROKERS}="{passwords[BROKERS]}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{BROKERS};User:{ADMINISTRATOR}",
        }

    def _password(self, name: str) -> str:
        return (self._folder / name).read_text()

    def _settings(self, mechanism: str, user: str) -> dict[str, str]:
        if not self.exist:
            return {}
        return {
            variable("kafka_security_protocol"): _CLIENTS,
            variable("kafka_sasl_mechanism"): mechanism,
            variable("kafka_sasl_username"): user,
            variable("kafka_sasl_password") + FILE: str(self._folder / user),
        }


def _name(part: Part) -> str:
    return f"cerrojo_{part}"
