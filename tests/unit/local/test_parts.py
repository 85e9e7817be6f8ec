"""The parts of a system follow from the settings, or a sentence names the way out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from psycopg.conninfo import conninfo_to_dict

from events.signing_keys import granted, make
from gateway.launch import FINISH_SECONDS, Launcher, hash_sockets
from gateway.passwords.hash_protocol import Lane
from local.errors import LocalError
from local.parts import Addresses, cerrojo_parts, server_parts, stop_seconds
from local.postgres import OWNER
from settings import Settings


def test_the_port_that_kafka_was_given_is_checked(taken: int, tmp_path: Path) -> None:
    """A port that was asked for by name is not silently another one."""
    with pytest.raises(LocalError, match=f"CERROJO_KAFKA_PORT is {taken}"):
        Addresses(Settings(kafka_port=taken), tmp_path)


@pytest.mark.parametrize(("brokers", "replication"), [(1, 3), (3, 4)])
def test_more_replicas_than_brokers_are_refused(
    tmp_path: Path, brokers: int, replication: int
) -> None:
    """Kafka would refuse it only when the topics are made; elsewhere there may be more."""
    settings = Settings(brokers=brokers, replication=replication)
    with pytest.raises(LocalError, match=f"CERROJO_REPLICATION is {replication}, .*={brokers}"):
        Addresses(settings, tmp_path)
    elsewhere = msgspec.structs.replace(settings, kafka_bootstrap_servers="there:9092")
    assert Addresses(elsewhere, tmp_path).kafka == []


def test_a_way_to_reach_kafka_needs_one_of_others(tmp_path: Path) -> None:
    """The one that is started here has users of its own, and says so."""
    settings = Settings(kafka_security_protocol="SSL")
    with pytest.raises(LocalError, match=r"PROTOCOL is SSL, .* no TLS, and makes its users itself"):
        Addresses(settings, tmp_path)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_of_brokers_is_refused(tmp_path: Path, before: int, after: int) -> None:
    """Their data would be left behind, and a new log begun."""
    (Addresses(Settings(brokers=before), tmp_path).kafka[0].folder / "data").mkdir()
    Addresses(Settings(brokers=before), tmp_path)
    with pytest.raises(LocalError, match=f"CERROJO_BROKERS is {after}.*=.*Set it to {before}"):
        Addresses(Settings(brokers=after), tmp_path)


def test_the_cache_s_path_is_taken_as_the_data_s(tmp_path: Path) -> None:
    """Java would take a path with a colon for two, and a folder named `~` is nobody's wish."""
    with pytest.raises(LocalError, match="CERROJO_CACHE_DIR is '/a:b', and a path with ':'"):
        Addresses(Settings(cache_dir=Path("/a:b")), tmp_path)
    found = Addresses(Settings(cache_dir=Path("~/jars")), tmp_path).cache_dir
    assert found == Path.home() / "jars"


def test_three_brokers_have_different_ports(tmp_path: Path) -> None:
    """Also where a former run's files say that two had the same."""
    for node in Addresses(Settings(brokers=3), tmp_path).kafka:
        (node.folder / "ports").write_text("20001 20001\n")
    ports = [port for node in Addresses(Settings(brokers=3), tmp_path).kafka for port in node.ports]
    assert len(set(ports)) == 6


def test_kafka_leaves_the_ports_of_the_other_parts(tmp_path: Path) -> None:
    """Also those of last time: nothing may listen there yet, and the gateway would fail later."""
    (node,) = Addresses(Settings(), tmp_path).kafka
    broker, controller = node.ports
    Addresses(Settings(login_port=broker, workers_port=controller - 10, hosts=2), tmp_path)
    assert not {broker, controller} & {*node.ports}


def test_what_is_elsewhere_is_not_started(tmp_path: Path) -> None:
    """With both settings set there is nothing of our own, and our parts use those.

    They have the database's URL from where we have it, which may be a file: it is not put into
    their environment.
    """
    settings = Settings(database_url="postgresql://there/db", kafka_bootstrap_servers="there:9092")
    addresses = Addresses(settings, tmp_path)
    assert server_parts(addresses) == []
    for part in cerrojo_parts(addresses):
        assert "DATABASE_URL" not in part.spec.env
        assert part.spec.env["KAFKA_BOOTSTRAP_SERVERS"] == "there:9092"
    assert not (tmp_path / "kafka").exists()


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(brokers=3, hosts=8), Settings(deadline_seconds=60)]
)
def test_each_part_gets_the_time_that_it_takes(tmp_path: Path, settings: Settings) -> None:
    """The gateway what its own processes get and more; the others together are soon done."""
    addresses = Addresses(settings, tmp_path)
    parts = [*server_parts(addresses), *cerrojo_parts(addresses)]
    drains = {part.group: part.spec.drain_timeout for part in parts if not part.once}
    assert sum(drains.values()) == pytest.approx(stop_seconds(settings))
    with socket.socket() as listener, hash_sockets(tmp_path) as sockets:
        launcher = Launcher({"login": listener}, sockets, settings.deadline_seconds)
        process, hashing = launcher.spec("login 1"), launcher.hash_spec(Lane.FOREGROUND)
    answers = settings.deadline_seconds + FINISH_SECONDS
    assert answers < process.drain_timeout == hashing.drain_timeout < drains.pop("gateway")
    assert sum(drains.values()) < 5.0


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (Settings(), 200),
        (Settings(partitions=1024), 1024),
        (Settings(hosts=8, gateway_processes=4, database_connections=20), 800),
    ],
)
def test_postgres_has_room_for_all_parts(tmp_path: Path, settings: Settings, least: int) -> None:
    """Else its probe finds no place, and it is killed and started again for ever."""
    postgres = Addresses(settings, tmp_path).postgres
    assert postgres
    (option,) = (each for each in postgres.spec().command if each.startswith("max_connections="))
    assert least <= int(option.partition("=")[2]) < least + 250


def test_parts_are_stopped_gateway_first_and_postgres_last(tmp_path: Path) -> None:
    """Each can finish its work with what it needs still there."""
    addresses = Addresses(Settings(brokers=3, hosts=2), tmp_path)
    parts = [*server_parts(addresses), *cerrojo_parts(addresses)]
    stop = [(part.group, part.spec.name) for part in reversed(parts) if not part.once]
    assert stop == [
        ("gateway", "gateway-2"),
        ("gateway", "gateway-1"),
        ("workers", "workers-2"),
        ("workers", "workers-1"),
        ("kafka", "kafka-3"),
        ("kafka", "kafka-2"),
        ("kafka", "kafka-1"),
        ("postgres", "postgres"),
    ]


def test_a_system_of_its_own_kafka_has_keys_of_its_own(tmp_path: Path) -> None:
    """They are made once. Beside another Kafka nobody here knows by which keys others sign."""

    def keys(**given: Any) -> set[str | None]:
        parts = cerrojo_parts(Addresses(Settings(**given), tmp_path))
        return {part.spec.env.get("CERROJO_SIGNING_KEYS") for part in parts}

    assert keys() == {str(tmp_path / "signing-keys")}
    made = (tmp_path / "signing-keys" / "workers.json").read_bytes()
    assert granted(tmp_path / "signing-keys", "operator") == ("policy",), "its console's one person"
    assert keys() == {str(tmp_path / "signing-keys")}
    assert (tmp_path / "signing-keys" / "workers.json").read_bytes() == made
    assert keys(kafka_bootstrap_servers="there:9092") == {None}
    make(tmp_path / "given")
    given = {str(tmp_path / "given")}
    assert keys(kafka_bootstrap_servers="there:9092", signing_keys=tmp_path / "given") == given


def test_keys_that_a_killed_start_did_not_make_are_made(tmp_path: Path) -> None:
    """Its folder is there, and maybe some files of the one in which they are made."""
    folder = tmp_path / "signing-keys"
    folder.mkdir()
    (tmp_path / "signing-keys.new").mkdir()
    (tmp_path / "signing-keys.new" / "gateway.json").touch()
    cerrojo_parts(Addresses(Settings(), tmp_path))
    assert granted(folder, "operator") == ("policy",)
    assert not (tmp_path / "signing-keys.new").exists()


def test_a_system_has_keys_of_devices_of_its_own(tmp_path: Path) -> None:
    """For its owner alone, the same at the next start, and only where the settings name none."""
    addresses = Addresses(Settings(), tmp_path)
    for _ in range(2):
        addresses.make_keys()
    file = tmp_path / "device-keys"
    assert len(file.read_text().splitlines()) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    environments = {part.spec.name: part.spec.env for part in cerrojo_parts(addresses)}
    assert environments["gateway"]["CERROJO_DEVICE_KEYS_FILE"] == str(file)
    assert environments["gateway"]["CERROJO_DEVICE_COOKIE"] == "plain"
    assert "CERROJO_DEVICE_KEYS_FILE" not in environments["workers"]
    theirs = Addresses(Settings(device_keys_file=tmp_path / "theirs"), tmp_path)
    theirs.make_keys()
    assert not (tmp_path / "theirs").exists()
    environments = {part.spec.name: part.spec.env for part in cerrojo_parts(theirs)}
    assert "CERROJO_DEVICE_COOKIE" not in environments["gateway"]


def test_passwords_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    """By their folder, and with what to do."""
    (tmp_path / "kafka-passwords").touch()
    with pytest.raises(LocalError, match="/kafka-passwords cannot be used: File exists"):
        Addresses(Settings(), tmp_path).make_keys()


def test_each_part_comes_to_the_servers_as_itself(tmp_path: Path) -> None:
    """With its role, its user, and the file of its own password; the steps as who may do all."""
    addresses = Addresses(Settings(), tmp_path)
    addresses.make_keys()
    seen = {}
    for part in cerrojo_parts(addresses):
        env = part.spec.env
        urls = [env[name] for name in sorted(env) if name.endswith("DATABASE_URL")]
        roles = [urlsplit(url).username for url in urls]
        user = env["CERROJO_KAFKA_SASL_USERNAME"]
        assert Path(env["CERROJO_KAFKA_SASL_PASSWORD_FILE"]).name == user
        seen[part.spec.name] = (*roles, user)
    steps = ("cerrojo", "cerrojo")
    assert seen == {
        "migrations": steps,
        "topics": steps,
        "workers": ("cerrojo_workers", "cerrojo_workers"),
        "gateway": ("cerrojo_operator", "cerrojo_gateway", "cerrojo_gateway"),
    }


def test_the_command_comes_with_credentials_of_its_own(tmp_path: Path) -> None:
    """As a person's: not the workers' or the administrator's in Kafka, and Postgres' owner."""
    addresses = Addresses(Settings(login_port=3010, hosts=2), tmp_path)
    addresses.make_keys()
    env = addresses.commands_environment
    assert env["CERROJO_LOGIN_PORT"] == "3010"
    assert env["CERROJO_KAFKA_SASL_USERNAME"] == "cerrojo_commands"
    assert conninfo_to_dict(env["DATABASE_URL"])["user"] == OWNER
    assert not {"CERROJO_KAFKA_USERS_FILE", "CERROJO_OPERATOR_DATABASE_URL"} & set(env)
    assert env["CERROJO_SIGNING_KEYS"] == str(tmp_path / "signing-keys")
    assert (tmp_path / "device-keys").samefile(env["CERROJO_DEVICE_KEYS_FILE"])
