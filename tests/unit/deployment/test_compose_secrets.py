"""Each part of compose.yml finds its own secrets, made once, and no other part's."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.compose_secrets import make
from events.rights import User, read_users
from events.signing_keys import KeyFile
from sql.roles import GATEWAY, OPERATOR, WORKERS

VOLUMES = ("keys", "gateway-keys", "step-keys", "postgres-keys", "kafka-keys")


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """As the service `keys` leaves them."""
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    make(tmp_path)
    return tmp_path


def passwords(path: Path) -> dict[str, str]:
    """Those of a password file of libpq, by role."""
    lines = (line.split(":") for line in path.read_text().splitlines())
    return {role: word for _, _, _, role, word in lines}


def test_each_part_has_the_passwords_of_its_roles_only(volumes: Path) -> None:
    """And the server has all, none of which is another one's."""
    of_gateway, of_workers, of_steps = (
        passwords(volumes / name / "postgres.pass")
        for name in ("gateway-keys", "keys", "step-keys")
    )
    assert of_gateway.keys() == {GATEWAY, OPERATOR}
    assert of_workers.keys() == {WORKERS}
    assert of_steps.keys() == {"cerrojo"}
    served = {path.name: path.read_text() for path in (volumes / "postgres-keys").iterdir()}
    superuser = served.pop("superuser")
    assert served == of_gateway | of_workers | of_steps
    assert len({superuser, *served.values()}) == 5
    assert all(len(word) == 48 for word in served.values())


def test_each_part_has_the_keys_of_its_roles_only(volumes: Path) -> None:
    """A gateway has none by which it could say what a worker decides."""
    KeyFile(volumes / "gateway-keys", "gateway")
    KeyFile(volumes / "gateway-keys", "operator")
    KeyFile(volumes / "keys", "workers")
    KeyFile(volumes / "step-keys", "workers")
    assert not (volumes / "gateway-keys" / "workers.json").exists()


def test_kafka_is_told_the_passwords_that_the_parts_have(volumes: Path) -> None:
    """The step reads all, each part its own."""
    users = read_users(volumes / "step-keys" / "kafka-users")
    assert users == [
        User("gateway", "cerrojo_gateway", (volumes / "gateway-keys/kafka.password").read_text()),
        User("workers", "cerrojo_workers", (volumes / "keys/kafka.password").read_text()),
    ]
    assert len({user.password for user in users}) == 2


def test_only_the_steps_have_the_administrators_certificate(volumes: Path) -> None:
    """And the brokers theirs, in no volume of a part of Cerrojo."""
    keys = {
        str(path.relative_to(volumes))
        for path in volumes.rglob("*")
        if path.is_file() and "PRIVATE KEY" in path.read_text()
    }
    assert keys == {"step-keys/kafka.key", "kafka-keys/broker.pem"}


def test_what_is_there_stays(volumes: Path) -> None:
    """A new password would shut out every part, as the database has the old one."""
    before = {path: path.read_bytes() for path in volumes.rglob("*") if path.is_file()}
    make(volumes)
    assert {path: path.read_bytes() for path in volumes.rglob("*") if path.is_file()} == before


def test_nobody_else_reads_a_parts_secrets(volumes: Path) -> None:
    """The volumes of the servers are read by their users, and nobody else has them."""
    for name in ("keys", "gateway-keys", "step-keys"):
        assert {path.stat().st_mode & 0o777 for path in (volumes / name).iterdir()} == {0o600}
