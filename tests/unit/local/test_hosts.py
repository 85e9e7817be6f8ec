"""The ports of every host are checked before anything is started."""

from __future__ import annotations

import msgspec
import pytest

from local import tcp_ports
from local.errors import LocalError
from local.hosts import check_ports, hosts
from settings import Settings


@pytest.mark.parametrize("which", ["login", "operator", "workers"])
def test_every_port_is_checked(which: str, taken: int) -> None:
    """No taken port is found out only when its part fails."""
    settings = Settings(**{f"{which}_port": taken})
    with pytest.raises(LocalError, match=f"CERROJO_{which.upper()}_PORT is {taken}"):
        check_ports(settings)


def test_two_equal_ports_are_refused() -> None:
    """Two parts cannot have one port, though nothing listens there yet."""
    port = tcp_ports.choose("127.0.0.1")
    with pytest.raises(LocalError, match="CERROJO_LOGIN_PORT and CERROJO_OPERATOR_PORT are both"):
        check_ports(Settings(login_port=port, operator_port=port))


def test_kafkas_port_is_no_other_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the part that comes second never starts, and does not say why."""
    monkeypatch.setattr(tcp_ports, "require_free", lambda *_: None)
    settings = Settings(operator_port=9082, hosts=2, kafka_port=9092)
    with pytest.raises(LocalError, match=r"KAFKA_PORT and CERROJO_OPERATOR_PORT .* both 9092"):
        check_ports(settings)
    check_ports(msgspec.structs.replace(settings, kafka_bootstrap_servers="there:9092"))


def test_each_host_has_ports_of_its_own(taken: int) -> None:
    """The next host's are ten higher, and are checked like the first one's."""
    first, second = hosts(Settings(hosts=2))
    assert {field: port + 10 for field, port in first.ports.items()} == second.ports
    assert first.ports["login_port"] == Settings().login_port
    with pytest.raises(LocalError, match=f"CERROJO_LOGIN_PORT .* host 2.* is {taken}"):
        check_ports(Settings(hosts=2, login_port=taken - 10))
    with pytest.raises(LocalError, match=r"CERROJO_LOGIN_PORT .* is 65536, which is no port"):
        check_ports(Settings(hosts=2, login_port=65526))
