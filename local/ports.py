"""Ports: whether one is free, and which one to take."""

from __future__ import annotations

import errno
import random
import socket

import psutil

from local.errors import LocalError

# Below the range from which systems take the ports of outgoing connections: one of those in our
# place would keep a restarted server from listening.
CHOICE = range(20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now, as far as others are concerned.

    Raises OSError where it could not for another reason, such as a foreign address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(address)
                trial.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
    return True


def choose(host: str) -> int:
    """A free port."""
    for port in random.sample(CHOICE, 100):
        if is_free(host, port):
            return port
    raise LocalError(f"No free port was found on {host} in 100 tries.")


def require_free(variable: str, host: str, port: int) -> None:
    """Raise :class:`LocalError`, which names the setting, where nothing can listen there."""
    try:
        free = is_free(host, port)
    except OSError as error:
        raise LocalError(
            f"{variable} is {port}, and nothing can listen on {host}:{port}: {error.strerror}. Set "
            f"{variable} to another port, or {variable.replace('_PORT', '_HOST')} to an address of "
            "this machine."
        ) from None
    if not free:
        raise LocalError(
            f"{variable} is {port}, and {host}:{port} is taken{_by(port)}. Stop what listens "
            f"there, or set {variable} to another port."
        )


def _by(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            taken = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if taken and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:  # not ours to see
        pass
    return ""
