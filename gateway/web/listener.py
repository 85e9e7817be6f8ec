"""The listening sockets: bound once, by the supervisor, and shared by its children."""

from __future__ import annotations

import errno
import socket

from settings import SettingsError, variable

BACKLOG = 2048


def listen(host_field: str, host: str, port_field: str, port: int) -> socket.socket:
    """A socket that listens there, or SettingsError that names the setting and the way out."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(
            f"{variable(host_field)} is {host!r}, which is no address here: {error}. "
            "Set it to an address of this machine, as 127.0.0.1."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(_sentence(error, host_field, host, port_field, port)) from None
    listener.setblocking(False)
    return listener


def _sentence(error: OSError, host_field: str, host: str, port_field: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{variable(port_field)} is {port}, and another program listens there on {host} "
            f"already. Stop it, or set {variable(port_field)} to a free port."
        )
    if error.errno == errno.EACCES:
        return (
            f"{variable(port_field)} is {port}, which only root may use. "
            f"Set {variable(port_field)} to a port from 1024 on."
        )
    return (
        f"{variable(host_field)} is {host!r}, which cannot be listened on: {error.strerror}. "
        "Set it to an address of this machine, as 127.0.0.1."
    )
