"""What is refused before anything is started, in a sentence that names the way out."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import datadir, ports
from local.errors import LocalError
from local.hosts import check_ports, hosts
from local.kafka import Kafka
from local.parts import Addresses, cerrojo_parts, server_parts
from local.postgres import Postgres
from local.privileges import service_account
from local.progress import Progress
from settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_its_setting_and_its_process(taken: int) -> None:
    """The sentence names what to change, and who is there."""
    with pytest.raises(LocalError, match=f"CERROJO_X is {taken}.* by process {os.getpid()} "):
        ports.require_free("CERROJO_X", "127.0.0.1", taken)


def test_an_address_of_another_machine_is_named() -> None:
    """It is not said to be taken, and the setting to change is the host."""
    with pytest.raises(LocalError, match="CERROJO_X_HOST to an address of this machine"):
        ports.require_free("CERROJO_X_PORT", "192.0.2.1", 3000)


@pytest.mark.parametrize("which", ["login", "operator", "workers"])
def test_every_port_is_checked(which: str, taken: int) -> None:
    """No taken port is found out only when its part fails."""
    settings = Settings.model_validate({f"{which}_port": taken})
    with pytest.raises(LocalError, match=f"CERROJO_{which.upper()}_PORT is {taken}"):
        check_ports(settings)


def test_the_port_that_kafka_was_given_is_checked(taken: int, tmp_path: Path) -> None:
    """A port that was asked for by name is not silently another one."""
    with pytest.raises(LocalError, match=f"CERROJO_KAFKA_PORT is {taken}"):
        Addresses(Settings(kafka_port=taken), tmp_path)


def test_two_equal_ports_are_refused() -> None:
    """Two parts cannot have one port, though nothing listens there yet."""
    port = ports.choose("127.0.0.1")
    with pytest.raises(LocalError, match="CERROJO_LOGIN_PORT and CERROJO_OPERATOR_PORT are both"):
        check_ports(Settings(login_port=port, operator_port=port))


def test_each_host_has_ports_of_its_own(taken: int) -> None:
    """The next host's are ten higher, and are checked like the first one's."""
    first, second = hosts(Settings(hosts=2))
    assert {field: port + 10 for field, port in first.ports.items()} == second.ports
    assert first.ports["login_port"] == Settings().login_port
    with pytest.raises(LocalError, match=f"CERROJO_LOGIN_PORT .* host 2.* is {taken}"):
        check_ports(Settings(hosts=2, login_port=taken - 10))
    with pytest.raises(LocalError, match=r"CERROJO_LOGIN_PORT .* is 65536, which is no port"):
        check_ports(Settings(hosts=2, login_port=65526))


def test_three_brokers_have_replicas_and_one_has_none() -> None:
    """The default fits; what does not is refused before anything is made."""
    assert (Settings().replication, Settings(brokers=3).replication) == (1, 3)
    assert Settings(brokers=3, replication=1).replication == 1


@pytest.mark.parametrize(("brokers", "replication"), [(1, 3), (3, 4)])
def test_more_replicas_than_brokers_are_refused(
    tmp_path: Path, brokers: int, replication: int
) -> None:
    """Kafka would refuse it only when the topics are made; elsewhere there may be more."""
    settings = Settings(brokers=brokers, replication=replication)
    with pytest.raises(LocalError, match=f"CERROJO_REPLICATION is {replication}, .*={brokers}"):
        Addresses(settings, tmp_path)
    elsewhere = settings.model_copy(update={"kafka_bootstrap_servers": "there:9092"})
    assert Addresses(elsewhere, tmp_path).kafka == []


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_of_brokers_is_refused(tmp_path: Path, before: int, after: int) -> None:
    """Their data would be left behind, and a new log begun."""
    (Addresses(Settings(brokers=before), tmp_path).kafka[0].folder / "data").mkdir()
    Addresses(Settings(brokers=before), tmp_path)
    with pytest.raises(LocalError, match=f"CERROJO_BROKERS is {after}.*=.*Set it to {before}"):
        Addresses(Settings(brokers=after), tmp_path)


def test_three_brokers_have_different_ports(tmp_path: Path) -> None:
    """Also where a former run's files say that two had the same."""
    for node in Addresses(Settings(brokers=3), tmp_path).kafka:
        (node.folder / "ports").write_text("20001 20001\n")
    ports = [port for node in Addresses(Settings(brokers=3), tmp_path).kafka for port in node.ports]
    assert len(set(ports)) == 6


def test_kafka_keeps_its_ports(tmp_path: Path) -> None:
    """The addresses are the same at the next start, and different from each other."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.reserve_ports()
    first = kafka.ports
    Kafka(tmp_path, tmp_path).reserve_ports()
    assert kafka.ports == first
    assert first.broker != first.controller


def test_the_broker_may_be_given_the_controllers_port(tmp_path: Path) -> None:
    """The controller then takes another one."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.reserve_ports()
    wanted = kafka.ports.controller
    kafka.reserve_ports(wanted)
    assert kafka.ports.broker == wanted != kafka.ports.controller


def test_kafka_leaves_a_port_that_someone_else_took(tmp_path: Path, taken: int) -> None:
    """A port that nobody asked for by name is no reason not to start."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.folder.mkdir()
    (kafka.folder / "ports").write_text(f"{taken} {taken}\n")
    kafka.reserve_ports()
    assert taken not in kafka.ports


def test_a_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """It holds a password and everybody's hashes."""
    path = datadir.create(tmp_path / "new" / "data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_an_existing_data_directory_keeps_its_permissions(tmp_path: Path) -> None:
    """Permissions of folders that exist are not ours to change."""
    tmp_path.chmod(0o755)
    assert datadir.create(tmp_path) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_path_that_cannot_be_passed_on_is_refused(tmp_path: Path, name: str) -> None:
    """Clients and Java would read it as two."""
    with pytest.raises(LocalError, match="CERROJO_DATA_DIR"):
        datadir.create(tmp_path / name)


def test_a_second_system_in_one_directory_is_refused(tmp_path: Path) -> None:
    """The sentence has the first one's pid."""
    with (
        datadir.only_one(tmp_path),
        pytest.raises(LocalError, match=f"in use by process {os.getpid()}\\."),
        datadir.only_one(tmp_path),
    ):
        pass


def test_a_directory_is_free_again(tmp_path: Path) -> None:
    """What one system held, the next may hold."""
    for _ in range(2):
        with datadir.only_one(tmp_path):
            pass


def test_a_long_path_is_refused_by_name(tmp_path: Path) -> None:
    """A socket's path is limited; Postgres' own message would name neither setting nor way out."""
    with pytest.raises(LocalError, match=r"CERROJO_DATA_DIR .* 107"):
        Postgres(tmp_path / ("x" * 107))


def test_data_of_another_postgres_is_refused(tmp_path: Path) -> None:
    """Both versions are named."""
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    postgres = Postgres(tmp_path)
    if os.geteuid() == 0:
        _give_to_service_user(postgres.folder)
    with pytest.raises(LocalError, match="is of PostgreSQL 17, and this is PostgreSQL 18"):
        postgres.prepare(Progress())


def test_data_of_another_user_is_refused(tmp_path: Path) -> None:
    """Postgres would only say that the ownership is wrong."""
    postgres = Postgres(tmp_path)
    postgres.folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("an ordinary user cannot give a folder away")
    os.chown(postgres.folder, 12345, 12345)
    with pytest.raises(LocalError, match="belongs to the user with the number 12345"):
        postgres.prepare(Progress())


@pytest.mark.parametrize("version", ["4.2.0", "5.0.0", None])
def test_data_of_another_kafka_is_refused(tmp_path: Path, version: str | None) -> None:
    """Both versions are named."""
    kafka = Kafka(tmp_path, tmp_path)
    (kafka.folder / "data").mkdir(parents=True)
    if version:
        (kafka.folder / "version").write_text(version)
    with pytest.raises(LocalError, match=f"is of Kafka {version or 'no version'}, and this is"):
        kafka.prepare(Progress())


def test_what_is_elsewhere_is_not_started(tmp_path: Path) -> None:
    """With both settings set there is nothing of our own, and our parts get those addresses."""
    elsewhere = {"DATABASE_URL": "postgresql://there/db", "KAFKA_BOOTSTRAP_SERVERS": "there:9092"}
    settings = Settings.model_validate(elsewhere)
    addresses = Addresses(settings, tmp_path)
    assert server_parts(addresses) == []
    for part in cerrojo_parts(addresses):
        assert part.spec.env["DATABASE_URL"] == "postgresql://there/db"
        assert part.spec.env["KAFKA_BOOTSTRAP_SERVERS"] == "there:9092"
    assert not (tmp_path / "kafka").exists()


@pytest.mark.parametrize("settings", [Settings(), Settings(brokers=3, hosts=8)])
def test_the_drains_of_all_parts_fit_into_ten_seconds(tmp_path: Path, settings: Settings) -> None:
    """A stop takes one group after the other, and each may take its whole time."""
    addresses = Addresses(settings, tmp_path)
    parts = [*server_parts(addresses), *cerrojo_parts(addresses)]
    drains = {part.group: part.spec.drain_timeout for part in parts if not part.once}
    assert sum(drains.values()) < 9.5


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


def _give_to_service_user(path: Path) -> None:
    account = service_account()
    assert account
    os.chown(path, *account)
