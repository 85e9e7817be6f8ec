"""Ports: checks whether one is free, and chooses free ones."""

from __future__ import annotations

import errno
import random
import socket
import sys

import psutil

from local.errors import LocalError

# Below the range from which systems take the ports of outgoing connections: such a connection would
# keep a restarted server from listening on its port.
# The tests have 26,000 to 31,999 for themselves.
CHOICE = range(20_000, 26_000)
_chosen: dict[int, int] = {}
"""Ports, and the open socket of each that tells other processes, until this one ends."""


def is_free(host: str, port: int) -> bool:
    """Whether no other server listens on this port.

    Raises OSError where listening fails for another reason, such as another machine's address.
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
    """A free port that no living process has chosen before: nothing may listen on that one yet.

    Raises :class:`LocalError` where 100 tries found none.
    """
    for port in random.sample(CHOICE, 100):
        if port not in _chosen and is_free(host, port) and _claim(port):
            return port
    raise LocalError(f"No free port was found on {host} in 100 tries. Stop other programs.")


def _claim(port: int) -> bool:
    """Whether no other process has chosen this port; then this one has.

    A name in Linux' abstract namespace is taken as long as the socket that has it is open.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        if sys.platform == "linux":
            claim.bind(f"\0cerrojo chose port {port}")
    except OSError:
        claim.close()
        return False
    _chosen[port] = claim.detach()
    return True


def require_free(variable: str, host: str, port: int) -> None:
    """Raise :class:`LocalError`, which names the setting, where the port cannot be used."""
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
    except psutil.Error:  # no permission, or the process has ended
        pass
    return ""
