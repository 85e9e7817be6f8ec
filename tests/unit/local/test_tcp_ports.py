"""The error about a port that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local import tcp_ports
from local.errors import LocalError
from tests.paths import PROJECT


def test_a_taken_port_is_named_with_its_setting_and_its_process(taken: int) -> None:
    """The sentence names what to change, and who is there."""
    with pytest.raises(LocalError, match=f"CERROJO_X is {taken}.* by process {os.getpid()} "):
        tcp_ports.require_free("CERROJO_X", "127.0.0.1", taken)


def test_an_address_of_another_machine_is_named() -> None:
    """It is not said to be taken, and the setting to change is the host."""
    with pytest.raises(LocalError, match="CERROJO_X_HOST to an address of this machine"):
        tcp_ports.require_free("CERROJO_X_PORT", "192.0.2.1", 3000)


@pytest.fixture
def a_hundred(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All of which are free, and none of which others choose."""
    monkeypatch.setattr(tcp_ports, "CHOICE", range(1, 101))
    monkeypatch.setattr(tcp_ports, "is_free", lambda host, port: True)
    monkeypatch.setattr(tcp_ports, "_chosen", chosen := {})
    yield
    for claim in chosen.values():
        os.close(claim)


@pytest.mark.usefixtures("a_hundred")
def test_a_port_is_chosen_once() -> None:
    """Two parts of one system would be given the same one, as nothing listens there yet."""
    assert len({tcp_ports.choose("127.0.0.1") for _ in range(100)}) == 100
    with pytest.raises(LocalError, match="No free port was found"):
        tcp_ports.choose("127.0.0.1")


OTHER = """
from local import tcp_ports
tcp_ports.CHOICE = range(1, 101)
tcp_ports.is_free = lambda host, port: True
print(*(tcp_ports.choose("127.0.0.1") for _ in range(50)), flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no abstract namespace")
@pytest.mark.usefixtures("a_hundred")
def test_no_two_systems_choose_the_same_port() -> None:
    """Also where both are just starting. Of a process that has ended it can be had again."""
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout
    chosen = {int(port) for port in other.stdout.readline().split()}
    assert len(chosen) == 50
    mine = {tcp_ports.choose("127.0.0.1") for _ in range(50)}
    assert not mine & chosen
    other.communicate("\n", timeout=30)
    assert {tcp_ports.choose("127.0.0.1") for _ in range(50)} == chosen
