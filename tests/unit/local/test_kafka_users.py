"""The users of the local Kafka are made once, and known to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from events.rights import Part, User, read_users
from local.kafka_users import KafkaUsers


def test_they_are_made_once(tmp_path: Path) -> None:
    """Each start says the same passwords, each part another one."""
    users = KafkaUsers(tmp_path)
    users.make()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    first = {path: path.read_text() for path in files}
    users.make()
    assert {path: path.read_text() for path in files} == first
    assert len({*first.values()}) == 6
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_part_is_told_where_its_password_is(tmp_path: Path) -> None:
    """And not the password, as others may see an environment; it is the one that Kafka is told."""
    users = KafkaUsers(tmp_path)
    users.make()
    told = {user.part: user for user in read_users(users.file)}
    for part in get_args(Part):
        given = users.part(part)
        word = Path(given.pop("CERROJO_KAFKA_SASL_PASSWORD_FILE")).read_text()
        assert told[part] == User(part, given["CERROJO_KAFKA_SASL_USERNAME"], word)
        assert word not in given.values()


def test_without_them_kafka_asks_nobody(tmp_path: Path) -> None:
    """As that of the tests, which none but them reaches."""
    users = KafkaUsers(tmp_path)
    assert users.options() == users.administrator() == users.part("gateway") == {}
    assert users.properties("127.0.0.1", 1, 2) == {}


def test_every_listener_asks(tmp_path: Path) -> None:
    """A listener of another protocol would let in who comes by it."""
    users = KafkaUsers(tmp_path)
    users.make()
    properties = users.properties("127.0.0.1", 9092, 9093)
    names = [where.partition(":")[0] for where in properties["listeners"].split(",")]
    spoken = dict(p.split(":") for p in properties["listener.security.protocol.map"].split(","))
    assert [spoken[name] for name in names] == ["SASL_PLAINTEXT"] * 2
    assert "ANONYMOUS" not in properties["super.users"]
