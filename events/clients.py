"""What every Kafka client of Cerrojo is configured with."""

from __future__ import annotations

from collections.abc import Callable

ClientConfig = dict[str, str | int | float | bool | Callable[..., None]]


def connection(bootstrap_servers: str) -> ClientConfig:
    """Which brokers, and how soon to ask again for one that was away.

    A quarter of a second bounds what the client adds to a broker's return.
    """
    return {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 250,
        "socket.keepalive.enable": True,
    }
