"""The listening sockets, and what is said where there can be none."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from gateway.web.listener import listen
from settings import SettingsError


def test_a_taken_port_is_named_with_its_setting() -> None:
    """The sentence has the variable, the value and the way out."""
    with closing(listen("login_host", "127.0.0.1", "login_port", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"CERROJO_LOGIN_PORT is {port}.*to a free port"):
            listen("login_host", "127.0.0.1", "login_port", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_a_host_that_is_not_here_is_named_with_its_setting(host: str) -> None:
    """The sentence has the variable, the value and the way out."""
    with pytest.raises(SettingsError, match=f"CERROJO_OPERATOR_HOST is '{host}'.*127.0.0.1"):
        listen("operator_host", host, "operator_port", 0)


def test_the_listener_does_not_block() -> None:
    """Several processes accept from it, and only one gets each connection."""
    with closing(listen("login_host", "127.0.0.1", "login_port", 0)) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not listener.getblocking()
